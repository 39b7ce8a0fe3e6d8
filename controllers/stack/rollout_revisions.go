package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/rollout"
)

const (
	// annotationRestarted is the annotation of a pod template that kubectl rollout restart sets.
	annotationRestarted = "kubectl.kubernetes.io/restartedAt"
	// annotationVersion is the annotation of a ControllerRevision with the version of lbstack that rendered
	// its templates.
	annotationVersion = "lbstack.io/version"
	// revisionPrefix is the beginning of the name of a ControllerRevision. The name of the revision follows.
	revisionPrefix = "lbstack-"
)

// podTemplates are the rendered pod templates of a revision.
type podTemplates struct {
	Controller map[string]any `json:"controller"`
	Speaker    map[string]any `json:"speaker"`
	// Restart is the value that kubectl rollout restart set in the annotation of the speakers. A new value
	// makes a new revision, although the template is the same.
	Restart string `json:"restart,omitempty"`

	version string // version of lbstack that rendered the templates
}

// podTemplatesOf returns the templates of the workloads among the objects.
func podTemplatesOf(objects []*unstructured.Unstructured, version string) (podTemplates, error) {
	t := podTemplates{version: version}
	for _, object := range objects {
		template, _, err := unstructured.NestedMap(object.Object, "spec", "template")
		switch object.GetKind() {
		case "Deployment":
			t.Controller = template
		case "DaemonSet":
			t.Speaker = template
		default:
			continue
		}
		if err != nil {
			return t, fmt.Errorf("reading the pod template of the %s: %w", describeObject(refOf(object)), err)
		}
	}
	if t.Controller == nil || t.Speaker == nil {
		return t, errors.New("the manifests have no pod template of the controller or of the speakers")
	}
	return t, nil
}

// restartOf returns the restart annotation of the speakers. If somebody deleted the DaemonSet, it returns the
// annotation in the last templates, so that the deletion makes no new revision.
func restartOf(daemonSet *appsv1.DaemonSet, last podTemplates) string {
	if daemonSet.UID == "" {
		return last.Restart
	}
	return daemonSet.Spec.Template.Annotations[annotationRestarted]
}

// revision returns the revision of the templates, which consists of their hashes.
func (t podTemplates) revision() (rollout.Revision, error) {
	controller, err := hashOf(t.Controller, "")
	if err != nil {
		return rollout.Revision{}, err
	}
	speaker, err := hashOf(t.Speaker, t.Restart)
	return rollout.Revision{Controller: controller, Speaker: speaker}, err
}

func hashOf(template map[string]any, restart string) (rollout.Hash, error) {
	text, err := json.Marshal(template) // json.Marshal sorts the keys of maps
	if err != nil {
		return "", fmt.Errorf("hashing a pod template: %w", err)
	}
	sum := sha256.Sum256(append(text, restart...))
	return rollout.Hash(hex.EncodeToString(sum[:5])), nil
}

// revisionObject returns the ControllerRevision that stores templates.
func revisionObject(revision rollout.Revision, t podTemplates, namespace string) *unstructured.Unstructured {
	data := map[string]any{"controller": t.Controller, "speaker": t.Speaker}
	if t.Restart != "" {
		data["restart"] = t.Restart
	}
	object := &unstructured.Unstructured{Object: map[string]any{"data": data, "revision": int64(1)}}
	object.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ControllerRevision"))
	object.SetNamespace(namespace)
	object.SetName(revisionPrefix + revision.String())
	object.SetLabels(map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator})
	object.SetAnnotations(map[string]string{annotationVersion: t.version})
	return object.DeepCopy()
}

// storedRevisions reads the stored revisions from the cache. It ignores an object whose name does not
// match the hashes of its templates: somebody else wrote it.
func (r *Reconciler) storedRevisions(ctx context.Context) (map[rollout.Revision]podTemplates, error) {
	var list appsv1.ControllerRevisionList
	if err := r.Client.List(ctx, &list, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("reading the ControllerRevisions from the cache: %w", err)
	}
	all := map[rollout.Revision]podTemplates{}
	for i := range list.Items {
		t := podTemplates{version: list.Items[i].Annotations[annotationVersion]}
		if err := utiljson.Unmarshal(list.Items[i].Data.Raw, &t); err != nil || t.Controller == nil || t.Speaker == nil {
			continue
		}
		revision, err := t.revision()
		if err == nil && list.Items[i].Name == revisionPrefix+revision.String() {
			all[revision] = t
		}
	}
	return all, nil
}

// setTemplate sets the pod template of a workload, with the label that has its hash. kubectl rollout restart
// changes only the hash: setTemplate does not set the annotation of the restart, which kubectl owns.
func setTemplate(object *unstructured.Unstructured, template map[string]any, hash rollout.Hash) error {
	template = runtime.DeepCopyJSON(template)
	if err := unstructured.SetNestedField(template, string(hash), "metadata", "labels", v1beta1.LabelRevision); err != nil {
		return fmt.Errorf("labelling the pod template of the %s: %w", describeObject(refOf(object)), err)
	}
	return unstructured.SetNestedMap(object.Object, template, "spec", "template")
}
