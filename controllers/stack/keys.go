package stack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/keyring"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/manifests"
)

// Annotations of the Secret with the keys of the mesh. The operator alone writes them.
const (
	// annotationKeySince has the time at which the newest key was added (RFC 3339).
	annotationKeySince = "lbstack.io/key-since"
	// annotationKeyRotation has the value of spec.speaker.keyRotation for which the keys were last replaced.
	annotationKeyRotation = "lbstack.io/key-rotation"
)

// storedKeySecret identifies the Secret that was read when the operator decided which keys the speakers
// should have.
type storedKeySecret struct {
	uid     types.UID // empty: there was no Secret
	version string
	valid   bool // the Secret has a valid key
}

// setPreconditions makes the API server refuse a write of the Secret if somebody has changed or
// deleted it since it was read: a former key must not come back.
func (s storedKeySecret) setPreconditions(object *unstructured.Unstructured) {
	object.SetUID(s.uid)
	object.SetResourceVersion(s.version)
}

// decideMeshKeys decides which keys the speakers should have, and puts them into the Secret among
// the wanted objects.
func (r *Reconciler) decideMeshKeys(ctx context.Context, stack *v1beta1.LoadBalancerStack, wanted []*unstructured.Unstructured, around *clusterState, f *findings) (storedKeySecret, error) {
	object, err := findKeySecret(wanted)
	if err != nil {
		return storedKeySecret{}, err
	}
	secret := &corev1.Secret{}
	err = r.Reader.Get(ctx, client.ObjectKeyFromObject(object), secret)
	if client.IgnoreNotFound(err) != nil {
		return storedKeySecret{}, fmt.Errorf("reading the %s: %w", describeObject(refOf(object)), err)
	}
	exists := err == nil
	since, _ := time.Parse(time.RFC3339, secret.Annotations[annotationKeySince])
	plan := keyring.PlanRotation(keyring.RotationState{
		Files: secret.Data, Since: since, Done: secret.Annotations[annotationKeyRotation], Request: stack.Spec.Speaker.KeyRotation,
		Speakers: around.speakerKeys(), Now: time.Now(),
	}, newKey)
	setKeys(object, plan)
	keys, damaged := keyring.Parse(secret.Data)
	stored := storedKeySecret{uid: secret.UID, version: secret.ResourceVersion, valid: len(keys) > 0}
	if exists && !isOurs(secret) {
		return storedKeySecret{}, nil // the Secret belongs to another owner: the operator writes neither this Secret nor the DaemonSet
	}
	f.keys = plan
	if exists && damaged != nil {
		r.Events.Eventf(stack, nil, corev1.EventTypeWarning, v1beta1.ReasonMeshKeyInvalid, eventAction, "%s", bounded.Note(invalidKeysSentence(refOf(object), damaged, len(keys))))
	}
	return stored, nil
}

func findKeySecret(wanted []*unstructured.Unstructured) (*unstructured.Unstructured, error) {
	for _, object := range wanted {
		if isKeySecret(object) {
			return object, nil
		}
	}
	return nil, errors.New("the manifests have no Secret for the keys of the mesh")
}

// isKeySecret reports whether an object is the Secret with the keys of the mesh.
func isKeySecret(object *unstructured.Unstructured) bool {
	return object.GetKind() == "Secret" && object.GetName() == manifests.MeshKeysSecretName
}

// newKey makes a random key.
func newKey() (key [keyring.KeySize]byte) {
	_, _ = rand.Read(key[:]) // Read never returns an error: it ends the program instead
	return key
}

// setKeys puts keys into their Secret.
func setKeys(object *unstructured.Unstructured, plan keyring.RotationPlan) {
	data := map[string]any{}
	for _, key := range plan.Keys {
		data[keyring.EntryName(key.Number)] = base64.StdEncoding.EncodeToString(key.Bytes[:])
	}
	object.Object["data"] = data
	annotations := map[string]string{annotationKeySince: plan.Since.UTC().Format(time.RFC3339)}
	if plan.Done != "" {
		annotations[annotationKeyRotation] = plan.Done
	}
	object.SetAnnotations(annotations)
}

// speakerKeys returns the speakers that run, or may run, with the keys that they accept. A stopped
// speaker is left out: it reads the Secret when it starts again.
func (s *clusterState) speakerKeys() map[lb.NodeName]keyring.SpeakerKeys {
	all := map[lb.NodeName]keyring.SpeakerKeys{}
	for node := range podsByNode(s.podsOf("speaker")) {
		if node != "" {
			all[lb.NodeName(node)] = keyring.SpeakerKeys{Down: s.down[node]}
		}
	}
	for i := range s.states {
		state := &s.states[i]
		if state.Status.Phase != v1beta1.SpeakerStopped {
			all[lb.NodeName(state.Name)] = keyring.SpeakerKeys{Accepts: state.Status.MeshKeys, Down: s.down[state.Name]}
		}
	}
	return all
}

// invalidKeysSentence returns a sentence about entries of the Secret that are not valid keys.
func invalidKeysSentence(ref v1beta1.ObjectReference, damaged error, valid int) string {
	what := strings.ReplaceAll(damaged.Error(), "\n", "; ")
	consequence := "makes a new key"
	if valid > 0 {
		consequence = "keeps the valid keys: to replace them by a new key, change spec.speaker.keyRotation of the LoadBalancerStack"
	}
	return fmt.Sprintf("the %s: %s: the operator removes these entries and %s", describeObject(ref), what, consequence)
}

// rotationReason returns the state of a rotation of the mesh keys; an empty reason: no rotation is under way.
func rotationReason(plan keyring.RotationPlan) (reason, message string) {
	if len(plan.Keys) == 0 || (len(plan.Keys) == 1 && len(plan.Waiting) == 0) {
		return "", ""
	}
	var nodes []string
	for _, node := range plan.Waiting {
		nodes = append(nodes, string(node))
	}
	id, speakers := plan.Keys[0].ID, "the speakers on "+listNames(nodes)
	former := "these speakers still use keys that the Secret does not have any more"
	if len(plan.Keys) > 1 {
		former = "the former key is removed at " + plan.Until.UTC().Format("2006-01-02 15:04:05 MST") + " at the latest, which isolates the speakers that do not accept the new key"
	}
	switch {
	case len(plan.Waiting) == 0:
		return v1beta1.ReasonKeyRotating, fmt.Sprintf("all speakers accept the new key %s of the mesh: the former key is removed within a minute", id)
	case plan.Late:
		return v1beta1.ReasonKeyNotAccepted, fmt.Sprintf("%s do not accept the new key %s of the mesh: %s: look at the pods of these speakers, and check that the kubelets of the nodes reach the API server", speakers, id, former)
	}
	return v1beta1.ReasonKeyRotating, fmt.Sprintf("%s do not accept the new key %s of the mesh yet: a kubelet takes up to two minutes to update the key in its pods", speakers, id)
}
