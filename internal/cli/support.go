package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/support"
	"github.com/lbstack/lbstack/internal/version"
)

// bundleRun is one run of the command support-bundle.
type bundleRun struct {
	genericiooptions.IOStreams
	*cluster
	output    string
	namespace string
	archive   *support.Archive
}

func supportCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	o := &bundleRun{IOStreams: streams, cluster: cluster}
	cmd := &cobra.Command{
		Use:   "support-bundle",
		Short: "Collect information for troubleshooting in an archive",
		Long: "Collect information for troubleshooting in an archive (.tar.gz): the objects of lbstack; its workloads, pods and their logs; events; Services of type LoadBalancer, EndpointSlices and Nodes; versions; and the answers of status and doctor.\n\n" +
			"The command reads no Secret, and removes values of environment variables and patches of the stack. The archive contains names, addresses and labels of the cluster: look into the archive before you pass it on. " +
			"A file in the archive has 1 MiB at most, and all files together 64 MiB before compression; missing.txt lists what is missing. The exit code is 1 if something could not be read; the archive has the rest.",
		Example: "  # Into a file in the current directory; the command prints the name of the file\n  kubectl lbstack support-bundle\n\n  # Into another file\n  kubectl lbstack support-bundle -o /tmp/lbstack.tar.gz",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), time.Now()) },
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "file to write; - is the standard output")
	return cmd
}

func (o *bundleRun) run(ctx context.Context, now time.Time) error {
	o.namespace = o.installNamespace()
	folder := "lbstack-support-" + now.UTC().Format("20060102T150405Z")
	if o.output == "" {
		o.output = folder + ".tar.gz"
	}
	if _, err := o.connect(); err != nil {
		return err
	}
	if o.output == "-" {
		return o.write(ctx, o.Out, folder, now)
	}
	file, err := os.OpenFile(o.output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = o.write(ctx, file, folder, now)
	if closed := file.Close(); closed != nil {
		return closed
	}
	fmt.Fprintln(o.Out, o.output)
	return err
}

// write collects all parts of the archive. If a part cannot be read, it adds a note to the archive,
// continues, and returns errCheckFailed at the end.
func (o *bundleRun) write(ctx context.Context, w io.Writer, folder string, now time.Time) error {
	o.archive = support.NewArchive(w, folder, now)
	var failed []string
	for _, part := range []struct {
		what string
		add  func(context.Context) error
	}{{"versions", o.addVersions}, {"status", o.addStatus}, {"doctor", o.addDoctor}, {"objects", o.addObjects}, {"pods and logs", o.addPodLogs}} {
		if err := part.add(ctx); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", part.what, err))
			o.archive.Note(failed[len(failed)-1])
		}
	}
	if err := o.archive.Close(); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	for _, note := range o.archive.Notes() {
		fmt.Fprintln(o.ErrOut, note)
	}
	if len(failed) > 0 {
		return errCheckFailed
	}
	return nil
}

func (o *bundleRun) addVersions(ctx context.Context) error {
	text := "plugin: " + version.Version + "\n"
	installed, err := o.version(ctx)
	if err == nil {
		text += "lbstack: " + installed + "\n"
	}
	server, serverErr := o.serverVersion()
	if serverErr == nil {
		text += "Kubernetes: " + server.GitVersion + "\n"
	} else if err == nil {
		err = serverErr
	}
	if written := o.archive.Text("versions.txt", []byte(text)); written != nil {
		return written
	}
	return err
}

func (o *bundleRun) addStatus(ctx context.Context) error {
	s, err := o.readSnapshot(ctx)
	if err == nil {
		err = o.readServices(ctx, s)
	}
	if err != nil {
		return err
	}
	answer := inspect.Status(s)
	return o.addAnswer("status.txt", &answer)
}

func (o *bundleRun) addDoctor(ctx context.Context) error {
	facts, err := o.doctorFacts(ctx)
	if err != nil {
		return err
	}
	answer := inspect.Doctor(facts)
	return o.addAnswer("doctor.txt", &answer)
}

func (o *bundleRun) addAnswer(name string, a printedAnswer) error {
	var text bytes.Buffer
	if err := writeAnswer(&text, "wide", a); err != nil {
		text.Reset()
		if err := a.Print(&text); err != nil {
			return err
		}
	}
	return o.archive.Text(name, text.Bytes())
}

// collectedKinds are the kinds whose objects the archive contains. Secrets and ConfigMaps are not among them:
// they may contain secrets, or belong to other software.
var collectedKinds = []struct {
	kind      schema.GroupKind
	local     bool                     // read only in the namespace of lbstack
	keep      func(client.Object) bool // nil keeps all objects
	ofService bool                     // keep only EndpointSlices of the Services that an earlier entry has kept
}{
	{kind: lbstackKind("LoadBalancerStack")}, {kind: lbstackKind("IPAddressPool")}, {kind: lbstackKind("IPAddressClaim")}, {kind: lbstackKind("L2Advertisement")},
	{kind: lbstackKind("BGPAdvertisement")}, {kind: lbstackKind("BGPPeer")}, {kind: lbstackKind("BFDProfile")}, {kind: lbstackKind("Community")},
	{kind: lbstackKind("SpeakerState")}, {kind: lbstackKind("SpeakerRouteSlice")},
	{kind: schema.GroupKind{Kind: "Node"}}, {kind: schema.GroupKind{Kind: "Service"}, keep: isBalanced}, {kind: schema.GroupKind{Group: "discovery.k8s.io", Kind: "EndpointSlice"}, ofService: true},
	{kind: schema.GroupKind{Group: "events.k8s.io", Kind: "Event"}, keep: isOwnEvent},
	{kind: schema.GroupKind{Group: "apps", Kind: "Deployment"}, local: true, keep: isOwnObject}, {kind: schema.GroupKind{Group: "apps", Kind: "DaemonSet"}, local: true, keep: isOwnObject},
	{kind: schema.GroupKind{Kind: "Pod"}, local: true, keep: isOwnObject},
}

func lbstackKind(kind string) schema.GroupKind {
	return schema.GroupKind{Group: v1beta1.GroupVersion.Group, Kind: kind}
}

// isBalanced reports whether a Service is of type LoadBalancer.
func isBalanced(object client.Object) bool {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return false
	}
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "type")
	return kind == string(corev1.ServiceTypeLoadBalancer)
}

// isOwnObject reports whether an object belongs to lbstack. Other objects may be in its namespace.
func isOwnObject(object client.Object) bool {
	return strings.HasPrefix(object.GetLabels()["app.kubernetes.io/name"], "lbstack")
}

// isOwnEvent reports whether a program of lbstack sent an event, or the event is in a namespace whose name begins with lbstack.
func isOwnEvent(object client.Object) bool {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return false
	}
	reporter, _, _ := unstructured.NestedString(u.Object, "reportingController")
	return strings.Contains(reporter, "lbstack") || strings.HasPrefix(u.GetNamespace(), "lbstack")
}

func (o *bundleRun) addObjects(ctx context.Context) error {
	var missing []string
	balanced := map[client.ObjectKey]bool{}
	for _, c := range collectedKinds {
		var options []client.ListOption
		if c.local {
			options = append(options, client.InNamespace(o.namespace))
		}
		found, err := o.list(ctx, c.kind, options...)
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", c.kind, err))
			continue
		}
		var objects []map[string]any
		for i := range found {
			key := client.ObjectKey{Namespace: found[i].GetNamespace(), Name: found[i].GetLabels()[discoveryv1.LabelServiceName]}
			if c.ofService && !balanced[key] {
				continue
			}
			if c.keep == nil || c.keep(&found[i]) {
				if c.kind.Kind == "Service" {
					balanced[client.ObjectKeyFromObject(&found[i])] = true
				}
				objects = append(objects, found[i].Object)
			}
		}
		if err := o.archive.Objects("objects/"+strings.ToLower(c.kind.String())+".yaml", objects); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s", strings.Join(missing, "; "))
	}
	return nil
}

// addPodLogs adds the logs of all containers of lbstack's pods. For a restarted container, it also adds the
// log from before the last restart.
func (o *bundleRun) addPodLogs(ctx context.Context) error {
	var pods []corev1.Pod
	if err := listPages(ctx, o.cluster, &corev1.PodList{}, func(l *corev1.PodList) { pods = append(pods, l.Items...) }, client.InNamespace(o.namespace)); err != nil {
		return err
	}
	var missing []string
	for i := range pods {
		pod := &pods[i]
		if !isOwnObject(pod) {
			continue
		}
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			for _, previous := range []bool{false, true} {
				if previous && status.RestartCount == 0 {
					continue
				}
				name := "logs/" + pod.Name + "_" + status.Name
				if previous {
					name += "_before"
				}
				text, err := o.podLog(ctx, o.namespace, pod.Name, &corev1.PodLogOptions{Container: status.Name, Previous: previous, Timestamps: true, TailLines: new(int64(logLines))})
				if err != nil {
					missing = append(missing, fmt.Sprintf("%s: %v", name, missingRight(err)))
					continue
				}
				if err := o.archive.Log(name+".log", text); err != nil {
					return err
				}
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s", strings.Join(missing, "; "))
	}
	return nil
}

// logLines is the number of lines that are read from the end of a log. About half as many fit into a file of
// the archive.
const logLines = 10000
