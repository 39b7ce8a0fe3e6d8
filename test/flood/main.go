// Command flood opens TCP connections over IPv4 as fast as it can, sends a request on each,
// and resets it. Tests run it with the lowest priority: an attacker takes no processor of the
// machine that it attacks.
package main

import (
	"crypto/rand"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// workers open connections, each one after the other.
const workers = 16

func main() {
	from := flag.String("from", "", "addresses to connect from, with commas")
	encrypted := flag.String("tls", "", "address to which every second connection has a handshake of TLS, and a token of its own")
	flag.Parse()
	var opened, failed atomic.Int64
	for i := range workers {
		go func() {
			sources := strings.Split(*from, ",")
			for n := i; ; n++ {
				source, target := netip.MustParseAddr(sources[n%len(sources)]), flag.Arg(n/len(sources)%flag.NArg())
				attack := hit
				if target == *encrypted && i%2 == 0 {
					attack = hitTLS
				}
				if err := attack(source, netip.MustParseAddrPort(target)); err != nil {
					failed.Add(1)
					continue
				}
				opened.Add(1)
			}
		}()
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	<-end
	fmt.Printf("opened %d connections, failed to open %d\n", opened.Load(), failed.Load())
}

// hit opens a connection, sends a request and resets it. What has no place in the queue of
// the other side is given up after some milliseconds.
func hit(from netip.Addr, to netip.AddrPort) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 5000}); err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		return err
	}
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// hitTLS opens a connection, and sends a request with a token that nobody has.
func hitTLS(from netip.Addr, to netip.AddrPort) error {
	dialer := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: time.Second}
	c, err := tls.DialWithDialer(dialer, "tcp", to.String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", rand.Text())
	return err
}
