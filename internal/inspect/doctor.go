package inspect

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/preflight"
	"github.com/lbstack/lbstack/internal/reports"
)

// DoctorInput is the input of Doctor.
type DoctorInput struct {
	*Snapshot
	// Kubernetes is the minor version of the API server, such as 33 for the KubernetesVersion v1.33.2.
	Kubernetes        int
	KubernetesVersion string
	// Plugin is the version of the plugin.
	Plugin string
	// ServiceProxy is the configuration of kube-proxy as YAML; empty if it is not where kubeadm puts it, in
	// the ConfigMap kube-system/kube-proxy.
	ServiceProxy string
	// Schemas are the schemas of lbstack's kinds in the API server, by kind; nil: not known.
	Schemas map[string]*preflight.Schema
	// Namespace is the namespace of lbstack. RBAC is nil if the roles and bindings are not known.
	Namespace string
	RBAC      *RBAC
	// LoadBalancers are other load balancers that run in the cluster, each as a phrase for messages.
	LoadBalancers []string
	// Unread has the errors of requests that the API server refused because the user lacks a right. The key
	// is the name of the check that needs the answer.
	Unread map[string]string
}

// The names of the checks.
const (
	CheckKubernetes    = "Kubernetes"
	CheckCRDs          = "CustomResourceDefinitions"
	CheckRights        = "Rights"
	CheckLoadBalancers = "Other load balancers"
	CheckInstallation  = "Installation"
	CheckVersions      = "Versions"
	CheckNodes         = "Nodes"
	CheckSpeakers      = "Speakers"
	CheckMTU           = "MTU"
	CheckServiceProxy  = "Service proxy"
	CheckPools         = "Pools"
	CheckRouters       = "Routers"
	CheckHosts         = "Foreign hosts"
)

// Finding is the result of one check.
type Finding struct {
	Check string `json:"check"`
	// Problems are sentences, each with what to do; none: the check passed.
	Problems []string `json:"problems,omitempty"`
	// Unread is set if the user lacks a right that the check needs. It is the error that names this right.
	Unread string `json:"unread,omitempty"`
	// Absent is the reason why the facts for the check are missing or cannot be parsed. A check with Absent
	// counts as passed.
	Absent string `json:"absent,omitempty"`
}

// Checkup is the answer of Doctor.
type Checkup struct {
	// Healthy means that all checks passed. A check with Unread has not passed.
	Healthy  bool      `json:"healthy"`
	Findings []Finding `json:"findings"`
}

// Doctor checks the requirements of lbstack and what its programs report.
func Doctor(f *DoctorInput) Checkup {
	c := Checkup{Healthy: true}
	for _, check := range []struct {
		name string
		look func(*DoctorInput) []string
		// whyUnknown returns why the facts of the check are not known; nil: they are always known.
		whyUnknown func(*DoctorInput) string
	}{
		{CheckKubernetes, kubernetesProblems, nil},
		{CheckCRDs, crdProblems, (*DoctorInput).whySchemasUnknown},
		{CheckRights, rightsProblems, (*DoctorInput).whyNeedsUnknown},
		{CheckLoadBalancers, loadBalancerProblems, nil},
		{CheckInstallation, installationProblems, nil},
		{CheckVersions, versionProblems, nil},
		{CheckNodes, nodeProblems, nil},
		{CheckSpeakers, speakerProblems, nil},
		{CheckMTU, mtuProblems, (*DoctorInput).whyMTUUnknown},
		{CheckServiceProxy, serviceProxyProblems, (*DoctorInput).whyProxyUnknown},
		{CheckPools, poolProblems, nil},
		{CheckRouters, routerProblems, nil},
		{CheckHosts, hostProblems, nil},
	} {
		finding := Finding{Check: check.name, Unread: f.Unread[check.name]}
		if finding.Unread == "" {
			finding.Problems = check.look(f)
		}
		if finding.Unread == "" && check.whyUnknown != nil {
			finding.Absent = check.whyUnknown(f)
		}
		c.Healthy = c.Healthy && finding.Unread == "" && len(finding.Problems) == 0
		c.Findings = append(c.Findings, finding)
	}
	return c
}

func kubernetesProblems(f *DoctorInput) []string {
	if problem, message := preflight.Check(preflight.Facts{Kubernetes: f.Kubernetes, KubernetesVersion: f.KubernetesVersion}); problem != preflight.None {
		return []string{message}
	}
	return nil
}

func installationProblems(f *DoctorInput) []string {
	var o Overview
	if f.Stack == nil {
		return []string{"the cluster has no LoadBalancerStack: create it"}
	}
	if o.addStack(f.Stack); !o.Ready {
		return []string{fmt.Sprintf("LoadBalancerStack default is not Ready (%s): %s", o.Summary, o.Message)}
	}
	return nil
}

func versionProblems(f *DoctorInput) (problems []string) {
	if f.Stack == nil {
		return nil
	}
	if ran := f.Stack.Status.Version; ran != "" && ran != f.Plugin {
		problems = append(problems, fmt.Sprintf("the plugin is %s and lbstack is %s: fields that the plugin does not know are missing in its answers: use the plugin of %s", f.Plugin, ran, ran))
	}
	var others []string
	for i := range f.States {
		if v := f.States[i].Status.Version; v != "" && f.Stack.Status.Version != "" && v != f.Stack.Status.Version && f.Stack.Status.TargetVersion == "" {
			others = append(others, f.States[i].Name)
		}
	}
	if len(others) > 0 {
		problems = append(problems, fmt.Sprintf("speakers of another version than %s run on %s, and no rollout is in progress: look at the pods of the DaemonSet lbstack-speaker", f.Stack.Status.Version, eligibility.Enumerate("nodes", others)))
	}
	return problems
}

// oldestKernel is the oldest version of Linux, major and minor, that speakers run on.
var oldestKernel = [2]int{5, 4}

func nodeProblems(f *DoctorInput) (problems []string) {
	policy, speakerRuns := apiconv.ParseDrainPolicy(f.Stack), f.speakerNodes()
	var excluded, linux []string
	leftOut := 0
	for i := range f.Nodes {
		node := &f.Nodes[i]
		if node.Labels[corev1.LabelOSStable] != "" && node.Labels[corev1.LabelOSStable] != "linux" {
			continue
		}
		if !speakerRuns(node) {
			leftOut++
			continue
		}
		linux = append(linux, node.Name)
		if kernel := node.Status.NodeInfo.KernelVersion; isOlderKernel(kernel) {
			problems = append(problems, fmt.Sprintf("node %s runs Linux %s: a speaker needs %d.%d or newer: update the kernel, or leave the node out with spec.speaker.nodeSelector", node.Name, kernel, oldestKernel[0], oldestKernel[1]))
		}
		if n := apiconv.ParseNode(node, policy); n.Excluded != "" || n.Draining {
			excluded = append(excluded, node.Name)
		}
	}
	switch {
	case len(linux) == 0 && leftOut > 0:
		problems = append(problems, "spec.speaker.nodeSelector and spec.speaker.affinity match no node with Linux: nothing can announce addresses: correct them, or label a node")
	case len(linux) == 0:
		problems = append(problems, "the cluster has no node with Linux: nothing can announce addresses")
	case len(excluded) == len(linux):
		problems = append(problems, "all nodes are drained or excluded from load balancers (control planes often have the label "+corev1.LabelNodeExcludeBalancers+"): no node takes an address: set spec.nodes.ignoreExcludeLabel: true, or undrain a node")
	}
	return problems
}

// speakerNodes returns a function that reports whether the node selector and the affinity of the stack allow
// a speaker on a node.
func (f *DoctorInput) speakerNodes() func(*corev1.Node) bool {
	pod := &corev1.Pod{}
	if f.Stack != nil {
		pod.Spec.NodeSelector, pod.Spec.Affinity = f.Stack.Spec.Speaker.NodeSelector, f.Stack.Spec.Speaker.Affinity
	}
	required := nodeaffinity.GetRequiredNodeAffinity(pod)
	return func(node *corev1.Node) bool {
		matches, err := required.Match(node)
		return matches || err != nil // the API server refuses an invalid affinity
	}
}

// isOlderKernel reports whether a version such as "5.15.0-91-generic" is older than oldestKernel. It returns false for a version
// that cannot be parsed.
func isOlderKernel(version string) bool {
	parts := strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && cmp.Or(cmp.Compare(major, oldestKernel[0]), cmp.Compare(minor, oldestKernel[1])) < 0
}

func speakerProblems(f *DoctorInput) (problems []string) {
	for i := range f.States {
		state := &f.States[i]
		if message := problemMessage(state.Status.Conditions, v1beta1.ConditionCurrent, v1beta1.ConditionReady); message != "" {
			problems = append(problems, fmt.Sprintf("node %s: %s", state.Name, message))
			continue
		}
		if missing := state.Status.MissingSpeakers; len(missing) > 0 {
			problems = append(problems, fmt.Sprintf("the speaker of node %s receives nothing from the speakers of %s: check whether a firewall between the nodes drops packets to the mesh port, UDP 7575 by default", state.Name, eligibility.Enumerate("nodes", missing)))
		}
	}
	return problems
}

// proxyConfig has the fields of kube-proxy's configuration that serviceProxyProblems checks.
type proxyConfig struct {
	Mode string `json:"mode"`
	IPVS struct {
		StrictARP bool `json:"strictARP"`
	} `json:"ipvs"`
}

// whyProxyUnknown returns why the configuration of kube-proxy is not known; empty if it is known.
func (f *DoctorInput) whyProxyUnknown() string {
	if f.ServiceProxy == "" {
		return "the cluster has no ConfigMap kube-system/kube-proxy: if kube-proxy has its settings in another place and runs in mode ipvs, it needs strictARP"
	}
	if err := yaml.Unmarshal([]byte(f.ServiceProxy), &proxyConfig{}); err != nil {
		return "config.conf of the ConfigMap kube-system/kube-proxy cannot be read: " + bounded.Cut(strings.Join(strings.Fields(err.Error()), " "), maxProxyError)
	}
	return ""
}

// maxProxyError is the maximum length, in bytes, of an error that a message quotes about the configuration of
// kube-proxy.
const maxProxyError = 256

// serviceProxyProblems checks that kube-proxy does not make every node answer ARP requests for the addresses
// of Services.
func serviceProxyProblems(f *DoctorInput) []string {
	var config proxyConfig
	if err := yaml.Unmarshal([]byte(f.ServiceProxy), &config); err == nil && config.Mode == "ipvs" && !config.IPVS.StrictARP {
		return []string{"kube-proxy runs in mode ipvs without strictARP: the kernel of every node answers ARP for the addresses of Services: set ipvs: {strictARP: true} in the ConfigMap kube-system/kube-proxy and restart kube-proxy"}
	}
	return nil
}

func loadBalancerProblems(f *DoctorInput) (problems []string) {
	if f.loadBalancerClass() != "" { // other load balancers do not serve Services of this class
		return nil
	}
	if addresses := f.addressesOfNodes(); len(addresses) > 0 && len(f.LoadBalancers) > 0 {
		remedy := "turn one of the two load balancers off"
		if slices.ContainsFunc(f.LoadBalancers, isMetalLB) {
			remedy = "to switch to lbstack, remove spec.l2Advertisements, spec.bgpAdvertisements and spec.bgpPeers from the stack, and run kubectl lbstack migrate (docs/migrate.md); otherwise turn one of the two load balancers off"
		}
		problems = append(problems, fmt.Sprintf("%s: nodes answer for %d addresses of Services that lbstack has claimed (%s). Most likely this load balancer announces them, and lbstack does not begin to announce addresses that another host uses: %s",
			strings.Join(f.LoadBalancers, ", "), len(addresses), bounded.Names(addresses, maxListedAddresses), remedy))
	}
	for _, name := range f.LoadBalancers {
		problems = append(problems, name+" runs: two load balancers that serve the same Services overwrite each other's addresses: turn it off, or give each a spec.loadBalancerClass of its own")
	}
	return problems
}

// maxListedAddresses bounds how many addresses a sentence lists.
const maxListedAddresses = 5

// isMetalLB reports whether an item of LoadBalancers is MetalLB.
func isMetalLB(name string) bool { return strings.HasPrefix(name, "MetalLB") }

// foreignHosts returns the hosts that use addresses of Services, as the speakers report them.
func (f *DoctorInput) foreignHosts() map[netip.Addr]reports.ForeignHost {
	v := &decisionView{states: f.speakerReports(), macs: map[lb.NodeName]map[string]string{}}
	v.addReports(f.Snapshot)
	return v.picture.Hosts
}

// addressesOfNodes returns the sorted addresses of Services for which a node of the cluster answers although
// its speaker does not announce them.
func (f *DoctorInput) addressesOfNodes() (list []string) {
	hosts := f.foreignHosts()
	for _, address := range slices.SortedFunc(maps.Keys(hosts), netip.Addr.Compare) {
		if hosts[address].HostNode != "" {
			list = append(list, address.String())
		}
	}
	return list
}

func poolProblems(f *DoctorInput) (problems []string) {
	for i := range f.Pools {
		if message := problemMessage(f.Pools[i].Status.Conditions, v1beta1.ConditionReady); message != "" {
			problems = append(problems, fmt.Sprintf("IPAddressPool %s: %s", f.Pools[i].Name, message))
		}
		if c := meta.FindStatusCondition(f.Pools[i].Status.Conditions, v1beta1.ConditionReady); c != nil && c.Status == metav1.ConditionTrue && c.Reason == v1beta1.ReasonNoSubnet {
			problems = append(problems, fmt.Sprintf("IPAddressPool %s: %s", f.Pools[i].Name, c.Message))
		}
	}
	return problems
}

func routerProblems(f *DoctorInput) (problems []string) {
	for i := range f.Peers {
		if message := problemMessage(f.Peers[i].Status.Conditions, v1beta1.ConditionReady, v1beta1.ConditionEstablished); message != "" {
			problems = append(problems, fmt.Sprintf("BGPPeer %s: %s", f.Peers[i].Name, message))
		}
	}
	return problems
}

func hostProblems(f *DoctorInput) (problems []string) {
	for address, host := range f.foreignHosts() {
		remedy := host.Remedy()
		if host.HostNode != "" && len(loadBalancerProblems(f)) > 0 {
			remedy = fmt.Sprintf("most likely %s announces it from there: see the check %q", strings.Join(f.LoadBalancers, " or "), CheckLoadBalancers)
		}
		problems = append(problems, fmt.Sprintf("%s: %s uses this address: %s", address, host.Describe(false), remedy))
	}
	slices.Sort(problems)
	return problems
}

// Print writes the check-up for people: the problems, and a line for each other check.
func (c *Checkup) Print(w io.Writer) error {
	var text strings.Builder
	for _, f := range c.Findings {
		switch {
		case f.Unread != "":
			fmt.Fprintf(&text, "?  %s: not checked: %s\n", f.Check, f.Unread)
		case f.Absent != "":
			fmt.Fprintf(&text, "-  %s: not checked: %s\n", f.Check, f.Absent)
		case len(f.Problems) == 0:
			fmt.Fprintf(&text, "ok %s\n", f.Check)
		default:
			fmt.Fprintf(&text, "!  %s:\n   - %s\n", f.Check, strings.Join(f.Problems, "\n   - "))
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}
