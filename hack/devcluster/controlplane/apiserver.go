package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// firstPort and lastPort are the bounds of the port of the API server. The range is
	// below the ports of outgoing connections (32768 and up): otherwise a connection
	// could take the port during an outage. The range is also below the node ports.
	firstPort, lastPort = 20000, 29999
	// maxPortTries is the maximum number of ports that are tried to find a free port.
	maxPortTries = 100
	// maxStartTries is the maximum number of starts of the API server. A start fails if
	// another program has taken the port after it was found free.
	maxStartTries = 5
	// readyPollInterval is the time between two readiness checks of the API server.
	readyPollInterval = 50 * time.Millisecond
)

// startEtcd starts etcd on Unix sockets in the directory of the control plane. It uses no
// port, which another program could have.
func (cp *ControlPlane) startEtcd() (err error) {
	const client, peer = "unix://" + etcdSocket, "unix://" + etcdPeerSocket
	cp.etcd, err = startProcess(cp.dir, "etcd", cp.options.Binaries.Etcd,
		"--data-dir="+etcdDataDir,
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		"--unsafe-no-fsync", "--log-level=warn")
	return err
}

func (cp *ControlPlane) startAPIServerOnFreePort(ctx context.Context) error {
	for try := 1; ; try++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		cp.port = port
		if err := cp.credentials.write(cp.dir, cp.ServerURL()); err != nil {
			return err
		}
		err = cp.startAPIServer(ctx)
		taken := err != nil && strings.Contains(err.Error(), "address already in use")
		if !taken || try == maxStartTries {
			return err
		}
		fmt.Fprintf(cp.options.Log, "port %d is in use by another program; trying another port\n", port)
	}
}

// startAPIServer starts the API server and waits until it is ready. If it fails,
// it leaves no process behind.
func (cp *ControlPlane) startAPIServer(ctx context.Context) error {
	p, err := startProcess(cp.dir, "kube-apiserver", cp.options.Binaries.Kubernetes,
		append([]string{"kube-apiserver"}, cp.apiServerFlags()...)...)
	if err != nil {
		return err
	}
	for _, path := range []string{
		"/readyz",
		"/api/v1/namespaces/default", // created only after readiness, and needed by most tests
	} {
		if err := cp.awaitPath(ctx, p, path); err != nil {
			if !p.hasEnded() {
				err = errors.Join(err, p.stop())
			}
			return err
		}
	}
	cp.apiServer = p
	return nil
}

func (cp *ControlPlane) apiServerFlags() []string {
	cidrs := make([]string, len(cp.options.ServiceCIDRs))
	for i, cidr := range cp.options.ServiceCIDRs {
		cidrs[i] = cidr.Masked().String()
	}
	return append([]string{
		"--etcd-servers=unix://" + etcdSocket,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(cp.port),
		// The API server must not write its own address into endpoints, since it refuses
		// loopback addresses there.
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + serverCertFile,
		"--tls-private-key-file=" + serverKeyFile,
		"--client-ca-file=" + caFile,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + signingPublicKeyFile,
		"--service-account-signing-key-file=" + signingKeyFile,
		"--service-cluster-ip-range=" + strings.Join(cidrs, ","),
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		// Without a controller manager there is no ServiceAccount "default" for Pods.
		"--disable-admission-plugins=ServiceAccount",
	}, cp.options.APIServerFlags...)
}

// awaitPath sends requests for the path until the API server responds with 200. It fails if
// the API server or etcd ends, or if the context is done.
func (cp *ControlPlane) awaitPath(ctx context.Context, p *childProcess, path string) error {
	ticker := time.NewTicker(readyPollInterval)
	defer ticker.Stop()
	for {
		err := cp.get(ctx, path)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.errorWithLog(errors.New("ended before it was ready"))
		case <-cp.etcd.done:
			return cp.etcd.errorWithLog(errors.New("ended before the API server was ready"))
		case <-ctx.Done():
			return p.errorWithLog(fmt.Errorf("not ready: %w: %w", context.Cause(ctx), err))
		case <-ticker.C:
		}
	}
}

func (cp *ControlPlane) get(ctx context.Context, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cp.ServerURL()+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := cp.client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	return nil
}

// freePort returns a port of 127.0.0.1 on which no program listens at the moment.
func freePort() (int, error) {
	var last error
	for range maxPortTries {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("finding a free port: %w", last)
}
