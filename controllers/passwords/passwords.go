// Package passwords writes the Secret from which the speakers read the passwords of BGP sessions. It copies
// them from the Secrets that BGPPeers name, and from no other Secrets. No other package writes the data of
// that Secret; the operator creates and deletes it.
package passwords

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// Reconciler writes the data of the Secret apiconv.PasswordsSecretName.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Namespace is the namespace of the components and of the Secrets.
	Namespace string

	// restoreLimiter delays the writes that restore the data after another writer has changed the data.
	restoreLimiter retry.RestoreLimiter[types.UID]
}

// SetupWithManager starts the controller with the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("passwords").
		Watches(&v1beta1.BGPPeer{}, request.OnAnyChange(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, request.OnAnyChange()).
		WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("watching BGPPeers and Secrets: %w", err)
	}
	return nil
}

// Reconcile writes the data of the Secret if it differs from the Secrets that the BGPPeers name. As long as the
// operator has not created the Secret, it does nothing.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var peers v1beta1.BGPPeerList
	if err := r.Client.List(ctx, &peers, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the BGPPeers: %w", err)
	}
	var list corev1.SecretList
	if err := r.Client.List(ctx, &list, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the Secrets of the namespace %s: %w", r.Namespace, err)
	}
	secrets := map[string]*corev1.Secret{}
	for i := range list.Items {
		secrets[list.Items[i].Name] = &list.Items[i]
	}
	is := secrets[apiconv.PasswordsSecretName]
	if is == nil {
		return reconcile.Result{}, nil
	}
	want := apiconv.PasswordEntries(peers.Items, func(name string) *corev1.Secret { return secrets[name] })
	same, wanted := maps.EqualFunc(is.Data, want, slices.Equal), dataDigest(want)
	if undone := r.restoreLimiter.Compare(is.UID, wanted, same, time.Now()); same || undone.Wait > 0 {
		return reconcile.Result{RequeueAfter: undone.Wait}, nil
	}
	next := is.DeepCopy()
	next.Data = want
	err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(is, client.MergeFromWithOptimisticLock{}))
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return reconcile.Result{}, nil // the change of the Secret requests another reconcile
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("copying passwords into the Secret %s/%s: %w", r.Namespace, apiconv.PasswordsSecretName, err)
	}
	r.restoreLimiter.NoteWrite(is.UID, wanted)
	return reconcile.Result{}, nil
}

// dataDigest returns a hash of the data, which does not reveal the passwords.
func dataDigest(data map[string][]byte) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(data)) {
		fmt.Fprintf(sum, "%q %q\n", name, data[name])
	}
	return string(sum.Sum(nil))
}
