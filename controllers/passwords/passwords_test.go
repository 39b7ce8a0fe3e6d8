package passwords

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/internal/apiconv"
)

const namespace = "lbstack-system"

func peer(name, secret string) *v1beta1.BGPPeer {
	p := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if secret != "" {
		p.Spec.PasswordSecret = &v1beta1.PasswordSecret{Name: secret}
	}
	return p
}

func basicAuth(in, name, password string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name}, Type: corev1.SecretTypeBasicAuth,
		Data: map[string][]byte{corev1.BasicAuthPasswordKey: []byte(password)}}
}

func copies(data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: apiconv.PasswordsSecretName}, Type: corev1.SecretTypeOpaque, Data: map[string][]byte{}}
	for name, password := range data {
		s.Data[name] = []byte(password)
	}
	return s
}

func TestReconcile_CopiesWhatBGPPeersName(t *testing.T) {
	opaque := basicAuth(namespace, "opaque", "x")
	opaque.Type = corev1.SecretTypeOpaque
	tests := []struct {
		name   string
		there  []client.Object
		want   map[string]string
		writes int
	}{
		{"password that a peer names is copied", []client.Object{copies(nil), peer("a", "tor"), basicAuth(namespace, "tor", "one")}, map[string]string{"tor": "one"}, 1},
		{"password that two peers name is copied once", []client.Object{copies(nil), peer("a", "tor"), peer("b", "tor"), basicAuth(namespace, "tor", "one")}, map[string]string{"tor": "one"}, 1},
		{"password that no peer names is not copied", []client.Object{copies(nil), peer("a", ""), basicAuth(namespace, "tor", "one")}, nil, 0},
		{"Secret of another namespace is not copied", []client.Object{copies(nil), peer("a", "tor"), basicAuth("default", "tor", "one")}, nil, 0},
		{"Secret of another type is not copied", []client.Object{copies(nil), peer("a", "opaque"), opaque}, nil, 0},
		{"password that is too long is not copied", []client.Object{copies(nil), peer("a", "tor"), basicAuth(namespace, "tor", strings.Repeat("x", 81))}, nil, 0},
		{"changed password replaces the old one", []client.Object{copies(map[string]string{"tor": "one"}), peer("a", "tor"), basicAuth(namespace, "tor", "two")}, map[string]string{"tor": "two"}, 1},
		{"password whose Secret is gone is removed", []client.Object{copies(map[string]string{"tor": "one"}), peer("a", "tor")}, nil, 1},
		{"password whose peer is gone is removed", []client.Object{copies(map[string]string{"tor": "one"}), basicAuth(namespace, "tor", "one")}, nil, 1},
		{"foreign entry is removed", []client.Object{copies(map[string]string{"tor": "one", "x": "y"}), peer("a", "tor"), basicAuth(namespace, "tor", "one")}, map[string]string{"tor": "one"}, 1},
		{"equal copy is not written", []client.Object{copies(map[string]string{"tor": "one"}), peer("a", "tor"), basicAuth(namespace, "tor", "one")}, map[string]string{"tor": "one"}, 0},
		{"copy itself is not a source", []client.Object{copies(nil), peer("a", apiconv.PasswordsSecretName)}, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, writes := newClient(t, tt.there...)
			r := &Reconciler{Client: c, Namespace: namespace}
			if _, err := r.Reconcile(t.Context(), request.AllObjects); err != nil {
				t.Fatal(err)
			}
			got := copies(nil)
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(got), got); err != nil {
				t.Fatal(err)
			}
			have := map[string]string{}
			for name, password := range got.Data {
				have[name] = string(password)
			}
			want := tt.want
			if want == nil {
				want = map[string]string{}
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("entries of the copy (-want +got):\n%s", diff)
			}
			if *writes != tt.writes {
				t.Errorf("got %d writes, want %d", *writes, tt.writes)
			}
		})
	}
}

func TestReconcile_WithoutTheSecret(t *testing.T) {
	c, writes := newClient(t, peer("a", "tor"), basicAuth(namespace, "tor", "one"))
	r := &Reconciler{Client: c, Namespace: namespace}
	if _, err := r.Reconcile(t.Context(), request.AllObjects); err != nil || *writes != 0 {
		t.Errorf("got %d writes and the error %v, want none: the operator makes the Secret", *writes, err)
	}
}

// Another writer that adds an entry to the copy each time is answered under a back-off; a password that changes
// meanwhile is copied at once.
func TestReconcile_BacksOffAgainstAnotherWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		copied := copies(nil)
		copied.UID = "copy"
		source := basicAuth(namespace, "tor", "one")
		c, writes := newClient(t, copied, peer("a", "tor"), source)
		r := &Reconciler{Client: c, Namespace: namespace}
		reconcile := func() time.Duration {
			t.Helper()
			result, err := r.Reconcile(t.Context(), request.AllObjects)
			if err != nil {
				t.Fatal(err)
			}
			return result.RequeueAfter
		}
		edit := func() {
			t.Helper()
			s := copies(nil)
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
				t.Fatal(err)
			}
			s.Data = map[string][]byte{"foreign": nil}
			if err := c.Update(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		reconcile()
		for range 300 { // a minute
			edit()
			reconcile()
			time.Sleep(200 * time.Millisecond)
		}
		if *writes < 5 || *writes > 18 {
			t.Errorf("writes within a minute: got %d, want 5 to 18", *writes)
		}
		edit()
		wait := reconcile()
		if wait == 0 { // it was restored just now, and the next one has to wait
			edit()
			wait = reconcile()
		}
		if wait <= 0 || wait > 10*time.Second {
			t.Errorf("next restore: got after %v, want within 10s", wait)
		}
		source.Data[corev1.BasicAuthPasswordKey] = []byte("two")
		if err := c.Update(t.Context(), source); err != nil {
			t.Fatal(err)
		}
		before := *writes
		if reconcile(); *writes != before+1 {
			t.Errorf("writes for a new password: got %d, want 1", *writes-before)
		}
	})
}

func newClient(t *testing.T, objects ...client.Object) (client.Client, *int) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	writes := 0
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			writes++
			return c.Patch(ctx, object, patch, options...)
		},
	}).Build()
	return c, &writes
}
