package httpserve

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves on loopback until the test ends, and returns the address.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server, listener, err := Listen("127.0.0.1:0", handler, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	run(t, server, listener)
	return listener.Addr().String()
}

func run(t *testing.T, server *http.Server, listener net.Listener) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving ended with %v, want %v", err, http.ErrServerClosed)
		}
	})
}

// dial connects from an address of loopback.
// dial connects; nil: the server closed the connection before the client saw it open.
func dial(t *testing.T, from, to string) *net.TCPConn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), Timeout: 10 * time.Second}
	c, err := dialer.Dial("tcp", to)
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return nil
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// ask sends a request as the kubelet does, and returns the status and body of the answer.
func ask(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + path)
	if err != nil {
		t.Fatalf("asking for %s: %v", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("asking for %s: %v", path, err)
	}
	return response.StatusCode, string(text)
}

// lost reports whether the other side closes a connection within 10 s.
func lost(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	var late net.Error
	return !errors.As(err, &late) || !late.Timeout()
}

func TestListen_HeldConnections(t *testing.T) {
	for name, sent := range map[string]string{
		"idle":                                   "",
		"half a request":                         "GET /healthz HTTP/1.1\r\nHost: x",
		"a request with a body that never comes": "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
		"a header without an end":                "GET /healthz HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", 500),
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, HealthHandler(func() error { return nil }))
			var held []*net.TCPConn
			for i := range plainLimits.Connections + 100 {
				if c := dial(t, fmt.Sprintf("127.0.1.%d", 1+i%2), address); c != nil {
					_, _ = io.WriteString(c, sent) // it may be closed by now
					held = append(held, c)
				}
			}
			began := time.Now()
			if status, body := ask(t, address, "/healthz"); status != http.StatusOK || body != "ok\n" {
				t.Errorf("got %d %q, want 200 ok", status, body)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the answer took %s, want 5 s at most, the timeout of the probes", took)
			}
			for i, c := range held {
				if !lost(t, c) {
					t.Fatalf("connection %d is still open after 10 s", i)
				}
			}
		})
	}
}

func TestListen_RefusedRequests(t *testing.T) {
	address := serve(t, HealthHandler(func() error { return nil }))
	for name, request := range map[string]string{
		"long header":           "GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", maxRequestBytes) + "\r\n\r\n",
		"announced body":        "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
		"body without a length": "POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		c := dial(t, "127.0.0.1", address)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(c) // a reset is as good as an end
		if status, _, _ := strings.Cut(string(answer), "\r\n"); status != "" && status != "HTTP/1.1 400 Bad Request" {
			t.Errorf("%s: got %q, want 400 or no answer", name, status)
		}
	}
}

func TestListen_PortTaken(t *testing.T) {
	address := serve(t, HealthHandler(func() error { return nil }))
	if _, listener, err := Listen(address, HealthHandler(nil), logr.Discard()); err == nil {
		_ = listener.Close()
		t.Error("it listens on a port that is taken")
	} else if !strings.Contains(err.Error(), address) {
		t.Errorf("got %q, want the address %s in it", err, address)
	}
}

func TestHealth(t *testing.T) {
	type answer struct {
		status int
		body   string
	}
	var broken error
	address := serve(t, HealthHandler(func() error { return broken }))
	look := func(path string) (a answer) {
		a.status, a.body = ask(t, address, path)
		return a
	}
	for path, want := range map[string]answer{"/healthz": {200, "ok\n"}, "/readyz": {200, "ok\n"}, "/metrics": {404, "404 page not found\n"}} {
		if diff := cmp.Diff(want, look(path), cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	broken = errors.New("no link yet")
	for path, want := range map[string]answer{"/healthz": {200, "ok\n"}, "/readyz": {500, "no link yet\n"}} {
		if diff := cmp.Diff(want, look(path), cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%s of a program that is not ready (-want +got):\n%s", path, diff)
		}
	}
}

// open admits all requests.
func open(_ string, inner http.Handler) http.Handler { return inner }

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	count := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	registry.MustRegister(count)
	count.Inc()
	status, body := ask(t, serve(t, MetricsHandler(registry, open)), "/metrics")
	want := "# HELP things_total Things.\n# TYPE things_total counter\nthings_total 1\n"
	if status != http.StatusOK || body != want {
		t.Errorf("got %d %q, want 200 %q", status, body, want)
	}
}

func TestMetrics_GatheredOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, gathered := prometheus.NewRegistry(), 0
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "g", Help: "G."}, func() float64 { gathered++; return 1 }))
		m := &cachedMetrics{gatherer: registry}
		for _, tt := range []struct {
			after time.Duration
			want  int
		}{{0, 1}, {maxMetricsAge - 1, 1}, {1, 2}, {0, 2}} {
			time.Sleep(tt.after)
			if _, err := m.currentText(); err != nil || gathered != tt.want {
				t.Errorf("after %s: gathered %d times, error %v, want %d times", tt.after, gathered, err, tt.want)
			}
		}
	})
}

func TestMetrics_Broken(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(twice{})
	status, body := ask(t, serve(t, MetricsHandler(registry, open)), "/metrics")
	if status != http.StatusInternalServerError || !strings.Contains(body, "gathering the metrics") {
		t.Errorf("got %d %q, want 500 and what went wrong", status, body)
	}
}

// twice is a collector that breaks the rules: it has the same metric twice.
type twice struct{}

func (twice) Describe(chan<- *prometheus.Desc) {}

func (twice) Collect(ch chan<- prometheus.Metric) {
	for range 2 {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("a", "A.", nil, nil), prometheus.GaugeValue, 1)
	}
}
