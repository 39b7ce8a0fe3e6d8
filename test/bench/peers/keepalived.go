package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keepalivedAddress is in the same pool as the addresses of the others.
const keepalivedAddress = "192.168.1.250"

// vrrp is the configuration of a node: VRRPv3 (RFC 9568), an advertisement every 100 ms, so that the address moves
// after 300 ms and a part that grows with the rank. The address does not move back. The argument is the rank, 0 for the first node.
const vrrp = `global_defs {
  vrrp_version 3
}
vrrp_instance web {
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id 51
  priority %d
  advert_int 0.1
  virtual_ipaddress {
    %s/24
  }
}
`

// redundancy is keepalived on the nodes: programs of the nodes, no pods.
type redundancy struct {
	bench   *bench
	dir     string
	mu      sync.Mutex
	running map[string]*exec.Cmd
}

func (b *bench) keepalived() *peer {
	r := &redundancy{bench: b, running: map[string]*exec.Cmd{}}
	return &peer{
		name: "keepalived", program: "keepalived", install: r.install, remove: r.remove, restore: r.restore,
		whole: func(context.Context) error { return nil },
	}
}

func (r *redundancy) install(ctx context.Context) (err error) {
	if _, err := exec.LookPath("keepalived"); err != nil {
		return fmt.Errorf("keepalived is not installed (hack/prerequisites.sh keepalived installs it): %w", err)
	}
	if r.dir, err = os.MkdirTemp("", "keepalived-"); err != nil {
		return err
	}
	for _, node := range r.bench.Cluster.Nodes() {
		if err := r.start(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

func (r *redundancy) start(ctx context.Context, node string) error {
	rank := 0
	for i, name := range r.bench.Cluster.Nodes() {
		if name == node {
			rank = i
		}
	}
	path := filepath.Join(r.dir, node)
	if err := os.WriteFile(path+".conf", fmt.Appendf(nil, vrrp, 200-50*rank, keepalivedAddress), 0o644); err != nil {
		return err
	}
	// It ends with remove, not with the measurement that started it again.
	cmd := r.bench.Cluster.Command(context.WithoutCancel(ctx), node, "keepalived", "--dont-fork", "--log-console", "--vrrp",
		"--use-file", path+".conf", "--pid", path+".pid", "--vrrp_pid", path+".vrrp.pid")
	log, err := os.OpenFile(path+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting keepalived on %s: %w", node, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[node] = cmd
	return nil
}

// restore starts keepalived again on a node where it was killed. It removes the address that the killed process left, as the
// service of keepalived does at its start.
func (r *redundancy) restore(ctx context.Context, node string) error {
	r.mu.Lock()
	cmd := r.running[node]
	r.mu.Unlock()
	if cmd != nil {
		ended(cmd)
	}
	if err := r.forget(ctx, node); err != nil {
		return err
	}
	return r.start(ctx, node)
}

// ended waits for a keepalived that was killed. The program that started it in the namespaces of its node stops when
// keepalived is stopped, and does not continue by itself.
func ended(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGCONT)
	_ = cmd.Wait()
}

func (r *redundancy) forget(ctx context.Context, node string) error {
	_, err := r.bench.Cluster.Exec(ctx, node, "sh", "-c", "ip address show dev eth0 | grep -q '"+keepalivedAddress+"/' || exit 0; ip address delete "+keepalivedAddress+"/24 dev eth0")
	return err
}

func (r *redundancy) remove(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var failed error
	for node, cmd := range r.running {
		_, _ = r.bench.Cluster.Exec(ctx, node, "pkill", "-TERM", "-x", "keepalived") // it may have ended
		ended(cmd)
		failed = errors.Join(failed, r.forget(ctx, node))
	}
	clear(r.running)
	return errors.Join(failed, os.RemoveAll(r.dir))
}

// show writes an address into the status of a Service, as a load balancer does: kube-proxy forwards it then.
func (b *bench) show(ctx context.Context, service, address string) error {
	svc := &corev1.Service{}
	if err := b.Client.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: service}, svc); err != nil {
		return fmt.Errorf("reading the Service %s: %w", service, err)
	}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	if err := b.Client.Status().Update(ctx, svc); err != nil {
		return fmt.Errorf("writing the address of the Service %s: %w", service, err)
	}
	return nil
}
