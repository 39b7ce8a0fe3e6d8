// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/lan"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/hack/devcluster/process"
	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// ForwardCommand is the command that runs Forward. The program starts itself with
// this command, in a new process.
const ForwardCommand = "forward"

const dialTimeout = 5 * time.Second

// Forward accepts connections on an address of this machine and forwards them to
// the API server, which is in another network namespace. It returns only if it
// fails.
func Forward(listen, namespace string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening for the API server: %w", err)
	}
	host, _ := plan.FindHost(0, plan.ControlPlane)
	target := netip.AddrPortFrom(host.V4, plan.APIPort).String()
	for {
		client, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accepting a connection to the API server: %w", err)
		}
		go forwardConnection(client, namespace, target)
	}
}

func forwardConnection(client net.Conn, namespace, target string) {
	defer func() { _ = client.Close() }()
	var server net.Conn
	err := lan.RunInNamespace(namespace, func() (err error) {
		server, err = net.DialTimeout("tcp", target, dialTimeout)
		return err
	})
	if err != nil {
		return // the deferred Close ends the client's connection
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		closeWrite(server)
	}()
	_, _ = io.Copy(client, server)
}

func closeWrite(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

// ensureForwarder starts the forwarder unless it runs. The forwarder gets its former port
// if that is free, otherwise a new one. ensureForwarder writes the port into the kubeconfig.
func (c *Cluster) ensureForwarder(ctx context.Context) error {
	s, err := state.Load(c.dir)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	if s.Forward.IsAlive() {
		return nil
	}
	if c.port, err = freePort(c.port); err != nil {
		return err
	}
	id, err := c.startForwarder()
	if err != nil {
		return err
	}
	err = c.changeState(func(s *state.Cluster) { s.Forward, s.Port = id, c.port })
	if err != nil {
		return errors.Join(err, id.Signal(unix.SIGKILL))
	}
	if err := c.writeKubeconfig(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return pollUntilSuccess(ctx, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.listenAddress())
		if err != nil {
			return fmt.Errorf("reaching the forwarder: %w", err)
		}
		return conn.Close()
	})
}

func (c *Cluster) listenAddress() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

func (c *Cluster) startForwarder() (process.Identity, error) {
	log, err := os.OpenFile(filepath.Join(c.dir, "forward.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return process.Identity{}, fmt.Errorf("opening the forwarder's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(c.executablePath(), ForwardCommand, c.listenAddress(), lan.NamespaceName(c.name, plan.ControlPlane))
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return process.Identity{}, fmt.Errorf("starting the forwarder: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	return process.IdentityOf(cmd.Process.Pid)
}

// freePort returns the wanted port if it is free, otherwise any free port.
func freePort(wanted int) (int, error) {
	for _, port := range []int{wanted, 0} {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		address, err := netip.ParseAddrPort(listener.Addr().String())
		_ = listener.Close()
		if err == nil {
			return int(address.Port()), nil
		}
	}
	return 0, errors.New("no free port on 127.0.0.1")
}
