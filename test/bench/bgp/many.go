package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/test/eventually"
)

const (
	// routers is how many BIRDs the client host runs, beside the router's FRR; four of
	// them are looked at.
	routers, looked = 7, 4
	// manyRuns is how often all addresses are announced.
	manyRuns = 5
	// resting is how long the speakers are left alone before they are weighed, or have to
	// announce all anew.
	resting = 10 * time.Second
)

// manyAtOnce has the speakers announce many addresses to eight routers. It measures how
// long after the last address the last of four routers has all of them from all nodes; and
// the same after the pool, without an advertisement until all Services report that, has one
// again. Then it weighs the speakers.
func (b *bench) manyAtOnce(ctx context.Context) (err error) {
	if b.many == 0 {
		return nil
	}
	birds, err := b.birds(ctx, routers, "")
	defer birds.stop()
	if err != nil {
		return err
	}
	if err := b.configure(ctx, routers, toRouter, toAll); err != nil {
		return err
	}
	defer b.removeServices(context.WithoutCancel(ctx))
	for i := range b.many {
		name := fmt.Sprintf("many-%d", i)
		svc := service(name)
		svc.Annotations["lbstack.io/address-pool"] = "many"
		if err := b.Client.Create(ctx, svc); err != nil {
			return fmt.Errorf("creating the Service %s: %w", name, err)
		}
	}
	// They get them in the order in which they came.
	if _, err := b.Address(ctx, fmt.Sprintf("many-%d", b.many-1)); err != nil {
		return err
	}
	routes := b.many * len(b.Cluster.Nodes())
	begun := time.Now()
	if err := birds.have(ctx, routes); err != nil {
		return err
	}
	row(fmt.Sprintf("the last of %d addresses -> four routers have all from all nodes", b.many), []time.Duration{time.Since(begun)})
	var changed, advertised []time.Duration
	for range manyRuns {
		sinceChange, sinceThere, err := b.anew(ctx, birds, routes)
		if err != nil {
			return err
		}
		changed, advertised = append(changed, sinceChange), append(advertised, sinceThere)
		fmt.Fprintf(os.Stderr, "%d routers have %d routes each %d ms after the LoadBalancerStack was changed, %d ms after the advertisement was there\n",
			looked, routes, sinceChange.Milliseconds(), sinceThere.Milliseconds())
	}
	row(fmt.Sprintf("the LoadBalancerStack advertises %d addresses -> four routers have all from all nodes", b.many), changed)
	row(fmt.Sprintf("a BGPAdvertisement of %d addresses is there -> four routers have all from all nodes", b.many), advertised)
	time.Sleep(resting)
	return b.weigh(ctx)
}

// anew advertises the pool again after a while without. It returns how long the routers
// took to have all routes after the change of the stack, and after the advertisement existed,
// which the operator creates after that change.
func (b *bench) anew(ctx context.Context, birds *birds, routes int) (sinceChange, sinceThere time.Duration, err error) {
	if err := b.announced(ctx, metav1.ConditionTrue); err != nil {
		return 0, 0, err
	}
	if err := b.configure(ctx, routers, toRouter); err != nil {
		return 0, 0, err
	}
	if err := birds.have(ctx, 0); err != nil {
		return 0, 0, err
	}
	if err := b.announced(ctx, metav1.ConditionFalse); err != nil {
		return 0, 0, err
	}
	time.Sleep(resting)
	advertisements, err := b.Client.Watch(ctx, &v1beta1.BGPAdvertisementList{}, client.MatchingFields{"metadata.name": "many"})
	if err != nil {
		return 0, 0, fmt.Errorf("watching the BGPAdvertisement: %w", err)
	}
	defer advertisements.Stop()
	there := make(chan time.Time, 1)
	go func() {
		for range advertisements.ResultChan() {
			select {
			case there <- time.Now():
			default:
			}
		}
	}()
	begun := time.Now()
	if err := b.configure(ctx, routers, toRouter, toAll); err != nil {
		return 0, 0, err
	}
	if err := birds.have(ctx, routes); err != nil {
		return 0, 0, err
	}
	now := time.Now()
	return now.Sub(begun), now.Sub(<-there), nil
}

// announced waits until all Services have this status of the condition Announced: the writes after one
// change would otherwise slow down the next.
func (b *bench) announced(ctx context.Context, want metav1.ConditionStatus) error {
	return eventually.PollEvery(ctx, time.Second, func(ctx context.Context) error { // to list them all takes its time, too
		var list corev1.ServiceList
		if err := b.Client.List(ctx, &list, client.InNamespace("default"), client.HasLabels{label}); err != nil {
			return fmt.Errorf("listing the Services: %w", err)
		}
		reported := 0
		for _, svc := range list.Items {
			if c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced); c != nil && c.Status == want {
				reported++
			}
		}
		if reported != b.many {
			return fmt.Errorf("%d of %d Services have the status %s", reported, b.many, want)
		}
		return nil
	})
}

// removeStack restores the bed: fields that this program and another set
// in turn are more than server-side apply can take (kubernetes/kubernetes#134902).
func (b *bench) removeStack(ctx context.Context) {
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	err := within(ctx, func(ctx context.Context) error {
		return eventually.Poll(ctx, func(ctx context.Context) error {
			err := b.Client.Delete(ctx, stack)
			if err == nil {
				return errors.New("the LoadBalancerStack is there still")
			}
			return client.IgnoreNotFound(err)
		})
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bgp: removing the LoadBalancerStack:", err)
	}
}

// The configuration of the advertisement.
const (
	toRouter = `{"name":"routed","ipAddressPools":["routed"],"peers":["router"]}`
	toBoth   = `{"name":"routed","ipAddressPools":["routed"],"peers":["router","bird-0"]}`
	toAll    = `{"name":"many","ipAddressPools":["many"]}`
)

// configure sets the router and a number of BIRDs as peers.
func (b *bench) configure(ctx context.Context, birds int, advertisements ...string) error {
	var peers strings.Builder
	for i := range birds {
		fmt.Fprintf(&peers, `,{"name":"bird-%d","myASN":64512,"peerASN":64514,"peerAddress":"192.168.1.%d","connectRetrySeconds":1,"gracefulShutdownSeconds":0}`, i, 201+i)
	}
	patch := fmt.Sprintf(`{"spec":{"ipAddressPools":[{"name":"routed","addresses":["198.51.100.1-198.51.100.254"],"autoAssign":false},{"name":"many","addresses":["10.77.0.0/18"],"autoAssign":false}],
		"bgpPeers":[{"name":"router","myASN":64512,"peerASN":64513,"peerAddress":"192.168.1.1","bfdProfile":"fast"}%s],"bgpAdvertisements":[%s]}}`, peers.String(), strings.Join(advertisements, ","))
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	if err := b.Client.Patch(ctx, stack, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("configuring the routers: %w", err)
	}
	return nil
}

// weigh prints the memory of the speakers.
func (b *bench) weigh(ctx context.Context) error {
	for _, node := range b.Cluster.Nodes() {
		pid, err := b.Cluster.Exec(ctx, node, "pgrep", "-x", "speaker")
		if err != nil {
			return err
		}
		status, err := b.Cluster.Exec(ctx, node, "grep", "VmRSS", "/proc/"+strings.TrimSpace(string(pid))+"/status")
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%d addresses, %d routers: the speaker of %s: %s\n", b.many, routers+1, node, strings.TrimSpace(string(status)))
	}
	return nil
}

// birds are routers on the client host.
type birds struct {
	bench   *bench
	folder  string
	running []*exec.Cmd
}

// birds starts a number of BIRDs, with more lines in their configuration.
func (b *bench) birds(ctx context.Context, count int, more string) (*birds, error) {
	folder, err := os.MkdirTemp("", "lbstack-bench-")
	if err != nil {
		return &birds{}, err
	}
	all := &birds{bench: b, folder: folder}
	for i := range count {
		address := fmt.Sprintf("192.168.1.%d", 201+i)
		if out, err := b.Cluster.Exec(ctx, plan.Client, "ip", "address", "replace", address+"/32", "dev", "eth0"); err != nil {
			return all, fmt.Errorf("giving the client an address: %w: %s", err, out)
		}
		config := fmt.Sprintf(`router id %s;
protocol device {}
protocol bgp nodes { local %s as 64514; neighbor range 192.168.1.0/24 as 64512; strict bind yes; passive yes; dynamic name "node"; ipv4 { import all; export none; add paths off; }; }
%s`, address, address, more)
		path := filepath.Join(folder, strconv.Itoa(i))
		if err := os.WriteFile(path+".conf", []byte(config), 0o600); err != nil {
			return all, err
		}
		cmd := b.Cluster.Command(context.WithoutCancel(ctx), plan.Client, "bird", "-f", "-c", path+".conf", "-s", path+".ctl")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return all, fmt.Errorf("starting BIRD: %w", err)
		}
		all.running = append(all.running, cmd)
	}
	return all, nil
}

// have waits until the watched routers have a number of routes.
func (b *birds) have(ctx context.Context, count int) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		for i := range looked {
			out, err := exec.CommandContext(ctx, "birdc", "-s", filepath.Join(b.folder, strconv.Itoa(i)+".ctl"), "show route count").CombinedOutput()
			if err != nil {
				return fmt.Errorf("asking BIRD: %w: %s", err, out)
			}
			if want := fmt.Sprintf("%d of %d routes", count, count); !strings.Contains(string(out), want) {
				return fmt.Errorf("BIRD has %q, want %s", out, want)
			}
		}
		return nil
	})
}

func (b *birds) stop() {
	for _, cmd := range b.running {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			fmt.Fprintln(os.Stderr, "bgp: stopping BIRD:", err)
		}
	}
	_ = os.RemoveAll(b.folder)
}
