package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/apiserver"
	"github.com/lbstack/lbstack/test/eventually"
)

const (
	namespace      = "lbstack-system"
	metricsAddress = "127.0.0.1:17990"
	poolOf         = "pool-0" // that is changed
	reader         = "bench"
)

// bed is a cluster of an API server alone, with a reader of the operator's metrics.
type bed struct {
	client.WithWatch
	kubeconfig, token string
	speakers          *informed
	http              http.Client
}

func newBed(ctx context.Context, server *apiserver.Server, speakers int) (*bed, error) {
	config, err := server.Config()
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{Scheme: apiserver.Scheme()})
	if err != nil {
		return nil, fmt.Errorf("preparing a client: %w", err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: reader}}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, account,
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: reader}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: reader}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: reader},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: reader}},
		},
	} {
		if err := c.Create(ctx, object); err != nil {
			return nil, fmt.Errorf("creating %T %s: %w", object, object.GetName(), err)
		}
	}
	request := &authenticationv1.TokenRequest{}
	if err := c.SubResource("token").Create(ctx, account, request); err != nil {
		return nil, fmt.Errorf("requesting a token: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // of loopback
	b := &bed{WithWatch: c, kubeconfig: server.KubeconfigPath(), token: request.Status.Token, http: http.Client{Transport: transport}}
	b.speakers, err = inform(ctx, config, speakers)
	return b, err
}

// stack creates a stack with a number of pools and as many routers, and waits until they exist.
func (b *bed) stack(ctx context.Context, size int) error {
	var spec v1beta1.LoadBalancerStackSpec
	for i := range size {
		spec.IPAddressPools = append(spec.IPAddressPools, v1beta1.StackIPAddressPool{
			Name: v1beta1.ObjectName(fmt.Sprintf("pool-%d", i)), IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{addresses(i, 0)}},
		})
		peer := v1beta1.StackBGPPeer{Name: v1beta1.ObjectName(fmt.Sprintf("router-%d", i))}
		peer.MyASN, peer.PeerASN, peer.PeerAddress = 64512, 64513, fmt.Sprintf("192.0.2.%d", i+1)
		spec.BGPPeers = append(spec.BGPPeers, peer)
	}
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error { // the operator writes its finalizer
		err := client.IgnoreNotFound(b.Get(ctx, client.ObjectKeyFromObject(stack), stack))
		if err != nil {
			return err
		}
		stack.Spec = spec
		if stack.ResourceVersion == "" {
			return b.Create(ctx, stack)
		}
		return b.Update(ctx, stack)
	})
	if err != nil {
		return fmt.Errorf("writing the stack: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return eventually.Poll(ctx, func(ctx context.Context) error {
		if err := b.Get(ctx, client.ObjectKeyFromObject(stack), stack); err != nil {
			return err
		}
		var peers v1beta1.BGPPeerList
		if err := b.List(ctx, &peers); err != nil {
			return err
		}
		if len(peers.Items) != size || stack.Status.ObservedGeneration != stack.Generation {
			return fmt.Errorf("there are %d of %d BGPPeers, and generation %d of %d was observed", len(peers.Items), size, stack.Status.ObservedGeneration, stack.Generation)
		}
		return b.rests(ctx)
	})
}

// addresses returns the addresses of pool i, different for each version.
func addresses(i, version int) v1beta1.AddressRange {
	return v1beta1.AddressRange(fmt.Sprintf("10.%d.%d.0/24", i+1, version%200))
}

// rests returns an error unless no pass was made for a second.
func (b *bed) rests(ctx context.Context) error {
	before, err := b.passes(ctx)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(1500 * time.Millisecond):
	}
	now, err := b.passes(ctx)
	if err == nil && now.count != before.count {
		err = fmt.Errorf("%d passes in 1.5 s", now.count-before.count)
	}
	return err
}

// passes returns the operator's metrics of all passes until now.
type passes struct {
	count int
	sum   time.Duration
}

func (b *bed) passes(ctx context.Context) (p passes, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+metricsAddress+"/metrics", nil)
	if err != nil {
		return p, err
	}
	request.Header.Set("Authorization", "Bearer "+b.token)
	response, err := b.http.Do(request)
	if err != nil {
		return p, err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return p, fmt.Errorf("metrics of the operator: %s: %w", response.Status, err)
	}
	for line := range strings.Lines(string(page)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		value, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil:
		case strings.HasPrefix(name, "controller_runtime_reconcile_time_seconds_sum{controller=\"loadbalancerstack\""):
			p.sum = time.Duration(value * float64(time.Second))
		case strings.HasPrefix(name, "controller_runtime_reconcile_time_seconds_count{controller=\"loadbalancerstack\""):
			p.count = int(value)
		}
	}
	return p, nil
}

// pass has the operator make a pass without a change, and returns the duration.
func (b *bed) pass(ctx context.Context, run int) (time.Duration, error) {
	before, err := b.passes(ctx)
	if err != nil {
		return 0, err
	}
	if err := b.patch(ctx, fmt.Sprintf(`[{"op":"add","path":"/metadata/annotations","value":{"lbstack.io/bench":"%d"}}]`, run)); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var now passes
	err = eventually.Poll(ctx, func(ctx context.Context) (err error) {
		if now, err = b.passes(ctx); err == nil && now.count == before.count {
			err = fmt.Errorf("the operator has made no pass")
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return (now.sum - before.sum) / time.Duration(now.count-before.count), nil
}

func (b *bed) patch(ctx context.Context, patch string) error {
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	if err := b.Patch(ctx, stack, client.RawPatch(types.JSONPatchType, []byte(patch))); err != nil {
		return fmt.Errorf("changing the stack: %w", err)
	}
	return nil
}

// change changes a pool in the stack, and returns how long it takes until a watcher of the pools has it.
func (b *bed) change(ctx context.Context, run int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	watched, err := b.Watch(ctx, &v1beta1.IPAddressPoolList{}, client.MatchingFields{"metadata.name": poolOf})
	if err != nil {
		return 0, fmt.Errorf("watching the pools: %w", err)
	}
	defer watched.Stop()
	want := addresses(0, run+1)
	begun := time.Now()
	if err := b.patch(ctx, fmt.Sprintf(`[{"op":"replace","path":"/spec/ipAddressPools/0/addresses/0","value":%q}]`, want)); err != nil {
		return 0, err
	}
	for event := range watched.ResultChan() {
		if pool, is := event.Object.(*v1beta1.IPAddressPool); is && len(pool.Spec.Addresses) == 1 && pool.Spec.Addresses[0] == want {
			return time.Since(begun), nil
		}
	}
	return 0, fmt.Errorf("the pool did not become %s in %s", want, limit)
}
