// SPDX-License-Identifier: Apache-2.0

package lan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

const (
	switchHost    = "lan" // replaces the host's name in the name of the bridge's namespace
	bridgeName    = "br0"
	hostInterface = "eth0"
)

// EnsureSwitch makes the namespace with the bridge unless it exists.
func EnsureSwitch(cluster string) error {
	namespace := NamespaceName(cluster, switchHost)
	if NamespaceExists(namespace) {
		return nil
	}
	if err := createNamespace(namespace); err != nil {
		return err
	}
	return withNetlink(namespace, func(h *netlink.Handle) error {
		// Frames between hosts must not pass the packet filters of the machine.
		if err := setSysctls(namespace, []sysctl{
			{"bridge/bridge-nf-call-iptables", "0"}, {"bridge/bridge-nf-call-ip6tables", "0"}, {"bridge/bridge-nf-call-arptables", "0"},
			{"ipv6/conf/default/disable_ipv6", "1"},
		}); err != nil {
			return err
		}
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
		if err := h.LinkAdd(bridge); err != nil {
			return fmt.Errorf("adding bridge %s: %w", bridgeName, err)
		}
		return setLinkUp(h, bridgeName)
	})
}

// RemoveSwitch removes the bridge and its namespace.
func RemoveSwitch(cluster string) error { return removeNamespace(NamespaceName(cluster, switchHost)) }

// EnsureHost makes the namespace of the host and plugs it into the bridge, unless
// the namespace exists.
func EnsureHost(cluster string, host plan.Host, nodes []plan.Host) error {
	namespace := NamespaceName(cluster, host.Name)
	if NamespaceExists(namespace) {
		return nil
	}
	if err := createNamespace(namespace); err != nil {
		return err
	}
	err := configureHost(cluster, host, nodes)
	if err != nil {
		return errors.Join(fmt.Errorf("making the network of host %s: %w", host.Name, err), RemoveHost(cluster, host.Name))
	}
	return nil
}

func configureHost(cluster string, host plan.Host, nodes []plan.Host) error {
	namespace := NamespaceName(cluster, host.Name)
	if err := setSysctls(namespace, hostSysctls(host)); err != nil {
		return err
	}
	if err := plugIn(cluster, host); err != nil {
		return err
	}
	return withNetlink(namespace, func(h *netlink.Handle) error {
		if err := setLinkUp(h, "lo"); err != nil {
			return err
		}
		link, err := h.LinkByName(hostInterface)
		if err != nil {
			return fmt.Errorf("finding interface %s: %w", hostInterface, err)
		}
		for _, address := range []netip.Prefix{
			netip.PrefixFrom(host.V4, plan.LANv4.Bits()), netip.PrefixFrom(host.V6, plan.LANv6.Bits()),
		} {
			if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(address), Flags: unix.IFA_F_NODAD}); err != nil {
				return fmt.Errorf("adding address %s: %w", address, err)
			}
		}
		if err := setLinkUp(h, hostInterface); err != nil {
			return err
		}
		for _, r := range Routes(host, nodes) {
			if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.To), Gw: r.Via.AsSlice()}); err != nil {
				return fmt.Errorf("adding route to %s via %s: %w", r.To, r.Via, err)
			}
		}
		return nil
	})
}

// plugIn connects the host to the bridge with a pair of interfaces. Each interface is
// made in its final namespace, so the machine's own namespace never has one of them.
func plugIn(cluster string, host plan.Host) error {
	inside, err := netns.GetFromPath(NamespacePath(NamespaceName(cluster, host.Name)))
	if err != nil {
		return fmt.Errorf("opening the host's namespace: %w", err)
	}
	defer func() { _ = inside.Close() }()
	return withNetlink(NamespaceName(cluster, switchHost), func(h *netlink.Handle) error {
		bridge, err := h.LinkByName(bridgeName)
		if err != nil {
			return fmt.Errorf("finding bridge %s: %w", bridgeName, err)
		}
		if old, err := h.LinkByName(host.Name); err == nil {
			if err := h.LinkDel(old); err != nil {
				return fmt.Errorf("removing the former link of host %s: %w", host.Name, err)
			}
		}
		mac := host.MAC()
		cable := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: host.Name, MasterIndex: bridge.Attrs().Index},
			PeerName:  hostInterface, PeerHardwareAddr: mac[:], PeerNamespace: netlink.NsFd(inside),
		}
		if err := h.LinkAdd(cable); err != nil {
			return fmt.Errorf("adding the link of host %s: %w", host.Name, err)
		}
		return setLinkUp(h, host.Name)
	})
}

// RemoveHost unplugs the host and removes its namespace.
func RemoveHost(cluster, host string) error {
	var unplug error
	if namespace := NamespaceName(cluster, switchHost); NamespaceExists(namespace) {
		unplug = withNetlink(namespace, func(h *netlink.Handle) error {
			link, err := h.LinkByName(host)
			if errors.As(err, &netlink.LinkNotFoundError{}) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("finding the link of host %s: %w", host, err)
			}
			if err := h.LinkDel(link); err != nil {
				return fmt.Errorf("unplugging host %s: %w", host, err)
			}
			return nil
		})
	}
	return errors.Join(unplug, removeNamespace(NamespaceName(cluster, host)))
}

// SetLink plugs the host's cable in if isUp is true. Otherwise it pulls the cable, so that
// the host's interface loses its carrier.
func SetLink(cluster, host string, isUp bool) error {
	return withNetlink(NamespaceName(cluster, switchHost), func(h *netlink.Handle) error {
		if isUp {
			return setLinkUp(h, host)
		}
		link, err := h.LinkByName(host)
		if err != nil {
			return fmt.Errorf("finding the link of host %s: %w", host, err)
		}
		if err := h.LinkSetDown(link); err != nil {
			return fmt.Errorf("setting the link of host %s down: %w", host, err)
		}
		return nil
	})
}

// IsLinkUp reports whether the host's cable is plugged in.
func IsLinkUp(cluster, host string) (bool, error) {
	var isUp bool
	err := withNetlink(NamespaceName(cluster, switchHost), func(h *netlink.Handle) error {
		link, err := h.LinkByName(host)
		if err != nil {
			return fmt.Errorf("finding the link of host %s: %w", host, err)
		}
		isUp = link.Attrs().Flags&net.FlagUp != 0
		return nil
	})
	return isUp, err
}

// HasCable reports whether the host has a cable, plugged in or not.
func HasCable(cluster, host string) bool {
	_, err := IsLinkUp(cluster, host)
	return err == nil
}

func setLinkUp(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding interface %s: %w", name, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting interface %s up: %w", name, err)
	}
	return nil
}

func withNetlink(namespace string, fn func(*netlink.Handle) error) error {
	ns, err := netns.GetFromPath(NamespacePath(namespace))
	if err != nil {
		return fmt.Errorf("opening network namespace %s: %w", namespace, err)
	}
	defer func() { _ = ns.Close() }()
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink in namespace %s: %w", namespace, err)
	}
	defer handle.Close()
	return fn(handle)
}

func setSysctls(namespace string, settings []sysctl) error {
	return RunInNamespace(namespace, func() error {
		for _, s := range settings {
			// /proc/sys/net has the settings of the thread's namespace. A missing file is
			// ignored, since the kernel was built without that feature.
			err := os.WriteFile("/proc/sys/net/"+s.name, []byte(s.value), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("setting %s: %w", s.name, err)
			}
		}
		return nil
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
