package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/migrate"
)

// importRun is one run of the command import.
type importRun struct {
	genericiooptions.IOStreams
	cluster *cluster

	files               []string
	recursive           bool
	fromCluster, strict bool
	output, reportFile  string
}

func importCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	o := &importRun{IOStreams: streams, cluster: cluster}
	cmd := &cobra.Command{
		Use:   "import (-f FILENAME | --from-cluster)",
		Short: "Turn the configuration of MetalLB, kube-vip or Cilium into a LoadBalancerStack",
		Long: "Turn the configuration of another load balancer into one LoadBalancerStack.\n\n" +
			"The command prints the stack; nothing changes until you apply it. The report on the standard error lists the fields that have another meaning in the stack, and the fields that " +
			"are not mapped, with what to do. --report writes the outcome of every field to a file.\n\n" +
			"The command reads all formats of MetalLB (the ConfigMap before 0.13, AddressPool, IPAddressPool, L2Advertisement, BGPAdvertisement, BGPPeer, BFDProfile, Community, " +
			"the ConfigMap metallb-excludel2, flags of controller and speaker, the MetalLB object of its operator), the ConfigMap of kube-vip-cloud-provider, and Cilium's pools, " +
			"announcement policies and BGP objects. It does not print passwords.",
		Example: "  # From the cluster, to a file\n  kubectl lbstack import --from-cluster > stack.yaml\n\n" +
			"  # From the manifests in a directory and its subdirectories\n  kubectl lbstack import -R -f metallb/ > stack.yaml\n\n" +
			"  # From an old ConfigMap; fail if a field is not mapped\n  kubectl -n metallb-system get configmap config -o yaml | kubectl lbstack import --strict -f - > stack.yaml\n\n" +
			"  # With a report of every field\n  kubectl lbstack import --from-cluster --report report.json > stack.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringSliceVarP(&o.files, "filename", "f", nil, "file, or directory of .yaml, .yml and .json files, to read; - is the standard input")
	flags.BoolVarP(&o.recursive, "recursive", "R", false, "read subdirectories as well")
	flags.BoolVar(&o.fromCluster, "from-cluster", false, "read the configuration from the cluster; the configuration of MetalLB is read from the namespace of its workloads, or from the one of -n")
	flags.BoolVar(&o.strict, "strict", false, "exit with 1 if a field is not mapped")
	flags.StringVarP(&o.output, "output", "o", "yaml", "format of the stack: yaml, with comments, or json")
	flags.StringVar(&o.reportFile, "report", "", "file for the report of all fields, as JSON")
	return cmd
}

func (o *importRun) run(ctx context.Context) error {
	if o.fromCluster == (len(o.files) > 0) {
		return errors.New("pass either -f or --from-cluster: see kubectl lbstack import --help")
	}
	if o.output != "yaml" && o.output != "json" {
		return fmt.Errorf("-o %s: there is no such format: use yaml or json", o.output)
	}
	objects, err := o.objects(ctx)
	if err != nil {
		return err
	}
	result := migrate.Import(objects, o.namespace())
	if err := result.Report.Print(o.ErrOut); err != nil {
		return err
	}
	if o.reportFile != "" {
		text, err := json.MarshalIndent(result.Report, "", "  ")
		if err == nil {
			err = os.WriteFile(o.reportFile, append(text, '\n'), 0o600)
		}
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	if result.IsEmpty() {
		return errors.New("nothing to import: the input has no configuration of MetalLB, kube-vip or Cilium that can be mapped to a stack")
	}
	if err := o.print(result); err != nil {
		return err
	}
	if n := result.Report.Count(migrate.Unmapped); o.strict && n > 0 {
		return fmt.Errorf("%d fields are not mapped, and --strict is set", n)
	}
	return nil
}

func (o *importRun) print(result migrate.Result) error {
	text, err := result.YAML()
	if o.output == "json" {
		text, err = result.JSON()
	}
	if err != nil {
		return err
	}
	_, err = o.Out.Write(text)
	return err
}

func (o *importRun) objects(ctx context.Context) (objects []migrate.Object, err error) {
	if o.fromCluster {
		return o.clusterObjects(ctx)
	}
	for _, file := range o.files {
		found, err := o.read(file)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// read reads the objects of a file, of the files of a directory, or of the standard input.
func (o *importRun) read(name string) ([]migrate.Object, error) {
	if name == "-" {
		return migrate.Read("the standard input", o.In)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return readFile(name)
	}
	var objects []migrate.Object
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != name && !o.recursive:
			return fs.SkipDir
		case entry.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			return nil
		}
		found, err := readFile(path)
		if errors.Is(err, migrate.ErrNoObject) { // YAML for other purposes, such as the values of a Helm chart
			_, err = fmt.Fprintf(o.ErrOut, "left out: %v\n", err)
			return err
		}
		objects = append(objects, found...)
		return err
	})
	return objects, err
}

// namespace returns the namespace of MetalLB if the user passes it with -n.
func (o *importRun) namespace() string {
	if n := o.cluster.flags.Namespace; n != nil {
		return *n
	}
	return ""
}

func readFile(name string) ([]migrate.Object, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func(c io.Closer) { _ = c.Close() }(file)
	return migrate.Read(name, file)
}

// importedKinds are the kinds that are read from the cluster. They are read in all namespaces, so that the
// report also lists the objects that are ignored because of their namespace.
var importedKinds = []schema.GroupKind{
	{Group: "metallb.io", Kind: "AddressPool"}, {Group: "metallb.io", Kind: "IPAddressPool"}, {Group: "metallb.io", Kind: "L2Advertisement"},
	{Group: "metallb.io", Kind: "BGPAdvertisement"}, {Group: "metallb.io", Kind: "BGPPeer"}, {Group: "metallb.io", Kind: "BFDProfile"},
	{Group: "metallb.io", Kind: "Community"}, {Group: "metallb.io", Kind: "MetalLB"},
	{Group: "frrk8s.metallb.io", Kind: "FRRConfiguration"},
	{Group: "cilium.io", Kind: "CiliumLoadBalancerIPPool"}, {Group: "cilium.io", Kind: "CiliumL2AnnouncementPolicy"},
	{Group: "cilium.io", Kind: "CiliumBGPClusterConfig"}, {Group: "cilium.io", Kind: "CiliumBGPPeerConfig"}, {Group: "cilium.io", Kind: "CiliumBGPAdvertisement"},
	{Group: "cilium.io", Kind: "CiliumBGPNodeConfigOverride"}, {Group: "cilium.io", Kind: "CiliumBGPPeeringPolicy"},
}

// workloadKinds are the kinds of the workloads of MetalLB and of other load balancers.
var workloadKinds = []schema.GroupKind{{Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "DaemonSet"}}

// defaultMetalLBNamespace is the namespace of MetalLB if the user passes none and no workload of MetalLB is found.
const defaultMetalLBNamespace = "metallb-system"

// clusterObjects reads the objects of the import from the cluster. Missing rights are an error, since the
// stack would be incomplete. It continues after such an error, so that the returned error names all missing
// rights. It stops at any other error, such as an API server that does not answer.
func (o *importRun) clusterObjects(ctx context.Context) ([]migrate.Object, error) {
	objects, missing := []migrate.Object{}, []error{}
	add := func(kind schema.GroupKind, keep func(*unstructured.Unstructured) bool, options ...client.ListOption) error {
		found, err := o.cluster.list(ctx, kind, options...)
		if err != nil && !apierrors.IsForbidden(err) {
			return err
		}
		missing = append(missing, err)
		for i := range found {
			if keep == nil || keep(&found[i]) {
				objects = append(objects, migrate.Object{From: "the cluster", Content: found[i].Object})
			}
		}
		return nil
	}
	for _, kind := range workloadKinds {
		if err := add(kind, nil, client.InNamespace(o.namespace())); err != nil {
			return nil, err
		}
	}
	namespaces := []string{o.namespace()}
	if namespaces[0] == "" {
		namespaces = migrate.MetalLBNamespaces(objects)
	}
	if len(namespaces) == 0 {
		namespaces = []string{defaultMetalLBNamespace}
	}
	objects = slices.DeleteFunc(objects, func(found migrate.Object) bool {
		return len(migrate.MetalLBNamespaces([]migrate.Object{found})) == 0 // a workload of something else
	})
	for _, kind := range importedKinds {
		if err := add(kind, nil); err != nil {
			return nil, err
		}
	}
	for _, namespace := range namespaces {
		if err := add(schema.GroupKind{Kind: "ConfigMap"}, func(u *unstructured.Unstructured) bool { return u.GetName() != "kube-root-ca.crt" }, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
	}
	kubeVIP, err := o.cluster.get(ctx, schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, client.ObjectKey{Namespace: "kube-system", Name: "kubevip"})
	missing = append(missing, err)
	if kubeVIP != nil {
		objects = append(objects, migrate.Object{From: "the cluster", Content: kubeVIP.Object})
	}
	return objects, errors.Join(missing...)
}
