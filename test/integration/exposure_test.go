package integration

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// exposed is a program with its memory limit in the manifests, and where it serves here.
type exposed struct {
	name            string
	limit           int64
	args            []string
	health, metrics string
	listens         []string // all that it listens on
}

// portsVariable is the first of 20 ports that this process may use, so that several run at once.
const portsVariable = "LBSTACK_PORTS"

// port returns one of the ports of this process.
func port(t *testing.T, offset int) int {
	t.Helper()
	first := 17800
	if text := os.Getenv(portsVariable); text != "" {
		var err error
		if first, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", portsVariable, err)
		}
	}
	return first + offset
}

// metricsPort is the offset of the port for the metrics of a single program.
const metricsPort = 12

// loopback returns an address of this host with a port of this process.
func loopback(t *testing.T, offset int) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", port(t, offset))
}

func exposedPrograms(t *testing.T, namespace string) []exposed {
	t.Helper()
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "key-1"), []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	mesh := port(t, 10)
	list := []exposed{
		{name: "controller", limit: 512 << 20},
		{name: "operator", limit: 256 << 20, args: []string{"--image=none"}},
		{name: "speaker", limit: 256 << 20, args: []string{"--node=exposed", "--address=127.0.0.1", fmt.Sprint("--mesh-port=", mesh), "--mesh-key-dir=" + keys, "--state-dir=" + t.TempDir()},
			listens: []string{fmt.Sprint("udp 127.0.0.1:", mesh)}},
	}
	for i := range list {
		e := &list[i]
		e.health, e.metrics = loopback(t, 2*i), loopback(t, 2*i+1)
		e.args = append(e.args, "--namespace="+namespace, "--health-probe-bind-address="+e.health, "--metrics-bind-address="+e.metrics)
		e.listens = append([]string{"tcp " + e.health, "tcp " + e.metrics}, e.listens...)
	}
	return list
}

// run starts a program under its memory limit, and waits until it is ready.
func (e exposed) run(t *testing.T, env ...string) *process {
	t.Helper()
	p := start(t, e.name, append(env, fmt.Sprintf("MEMORY_LIMIT=%d", e.limit)), e.args...)
	eventually.Succeed(t, within, e.name+" is ready", func(ctx context.Context) error { return answers(ctx, e.health, "/readyz") })
	return p
}

// answers asks as the kubelet does.
func answers(ctx context.Context, address, path string) error {
	_, err := fetch(ctx, "http://"+address+path, "")
	return err
}

// httpError is an answer with another status than 200.
type httpError struct {
	status int
	text   string
}

// Error implements error.
func (r httpError) Error() string { return fmt.Sprintf("status %d: %s", r.status, r.text) }

// probeTimeout is how long the probes in the manifests wait for an answer.
const probeTimeout = 5 * time.Second

// fetch returns a page, as the kubelet and Prometheus get it, with a token or without. The
// certificate is one that the program has signed itself.
func fetch(ctx context.Context, url, token string) (page string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}).RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = httpError{response.StatusCode, strings.TrimSpace(string(text))}
	}
	return string(text), err
}

// peak returns the most memory that a process has had at a time (VmHWM in proc(5)), in bytes.
func (p *process) peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("%s has ended: %v", p.cmd.Path, err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	size, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return size << 10
}

// within fails the test if a program has had more memory than so many percent of its limit.
func (e exposed) within(t *testing.T, p *process, percent int64) {
	t.Helper()
	peak := p.peak(t)
	t.Logf("%s: at most %d MiB of %d", e.name, peak>>20, e.limit>>20)
	if most := e.limit / 100 * percent; peak > most {
		t.Errorf("%s took %d MiB, want at most %d of its limit of %d", e.name, peak>>20, most>>20, e.limit>>20)
	}
}

// hostile are what clients send who mean no good.
var hostile = map[string]func(net.Conn){
	"nothing":        func(net.Conn) {},
	"half a request": func(c net.Conn) { _, _ = io.WriteString(c, "GET /metrics HT") },
	"a megabyte of headers": func(c net.Conn) {
		_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n")
		for line := strings.Repeat("a: b\r\n", 1000); ; {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
	},
	"a header a second": func(c net.Conn) {
		_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\n")
		for tick := time.NewTicker(time.Second); ; <-tick.C {
			if _, err := io.WriteString(c, "a: b\r\n"); err != nil {
				return
			}
		}
	},
	"requests without taking the answer": func(c net.Conn) { _, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") },
}

// hostileTLS are what they send to a port with TLS.
var hostileTLS = map[string]func(net.Conn){
	"half a handshake": func(c net.Conn) { _, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252}) },
	"a handshake and nothing after it": func(c net.Conn) {
		_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
	},
	"a token of its own on each connection": func(c net.Conn) {
		secret := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		_, _ = fmt.Fprintf(secret, "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", rand.Text())
	},
	"a request without a token and without taking the answer": func(c net.Conn) {
		_, _ = io.WriteString(tls.Client(c, &tls.Config{InsecureSkipVerify: true}), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	},
}

// attack holds connections to an address, 200 for each kind, and opens others in place of
// those that are closed a second later, until the context ends.
func attack(ctx context.Context, running *sync.WaitGroup, from, address string, kinds map[string]func(net.Conn)) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
	for _, send := range kinds {
		for range 200 {
			running.Go(func() {
				for ctx.Err() == nil {
					c, err := dialer.DialContext(ctx, "tcp", address)
					if err == nil {
						stop := context.AfterFunc(ctx, func() { _ = c.Close() })
						_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
						send(c)
						_, _ = c.Read(make([]byte, 1))
						stop()
						_ = c.Close()
					}
					select {
					case <-ctx.Done():
					case <-time.After(time.Second):
					}
				}
			})
		}
	}
}

// flood runs a process with the lowest priority that opens connections, as fast as it can,
// until the test or the function that is returned ends it. To one of the addresses every
// second connection has a handshake of TLS, and a token of its own.
func flood(t *testing.T, from, encrypted string, addresses ...string) (end func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flood")
	if out, err := exec.Command("go", "build", "-o", path, "../flood").CombinedOutput(); err != nil {
		t.Fatalf("building flood: %v: %s", err, out)
	}
	cmd := exec.Command("nice", append([]string{"-n", "19", path, "-from", from, "-tls", encrypted}, addresses...)...)
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		t.Logf("flood %s", strings.TrimSpace(out.String()))
	})
	t.Cleanup(end)
	return end
}

// served fails the test if the program leaves a probe of the kubelet, or a scrape of Prometheus,
// without an answer as often in a row as a container is restarted for (failureThreshold, 3 by
// default). It returns the metrics.
func (e exposed) served(t *testing.T, token, during string) (metrics string) {
	t.Helper()
	// A source that comes back within a second is one of a flood (netlimit).
	const pause, attempts = 1500 * time.Millisecond, 3
	for _, page := range []struct{ url, token string }{
		{"http://" + e.health + "/readyz", ""}, {"https://" + e.metrics + "/metrics", token},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), attempts*(probeTimeout+pause))
		err := eventually.PollEvery(ctx, pause, func(ctx context.Context) (err error) {
			metrics, err = fetch(ctx, page.url, page.token)
			return err
		})
		cancel()
		if err != nil {
			t.Fatalf("%s: %s is not answered %d times: %v", during, page.url, attempts, err)
		}
	}
	return metrics
}

// tcp returns where the program accepts connections.
func (e exposed) tcp() (list []string) {
	for _, socket := range e.listens {
		if address, is := strings.CutPrefix(socket, "tcp "); is {
			list = append(list, address)
		}
	}
	return list
}

// processor returns the time of the processor that a process has taken.
func (p *process) processor(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("%s has ended: %v", p.cmd.Path, err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime of proc(5), of 100 a second
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func TestHostileClientsCostABoundedAmount(t *testing.T) {
	b := newBed(t)
	b.machine("exposed", nil)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	reader := metricsReader(b, "prometheus")
	for _, e := range exposedPrograms(t, b.namespace) {
		t.Run(e.name, func(t *testing.T) {
			p := e.run(t)
			eventually.Succeed(t, within, "the metrics are served", func(ctx context.Context) error {
				_, err := fetch(ctx, "https://"+e.metrics+"/metrics", reader)
				return err
			})
			before := reviews(t, e.served(t, reader, "before the attack"))
			began := time.Now()
			if diff := cmp.Diff(e.listens, listening(t, p.cmd.Process.Pid)); diff != "" {
				t.Errorf("sockets that listen (-want +got):\n%s", diff)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			attack(ctx, &running, "127.0.0.1", e.health, hostile)
			// More than are served each second, so that they are in the way of their source.
			attack(ctx, &running, "127.0.0.6", e.metrics, hostile)
			attack(ctx, &running, "127.0.0.7", e.metrics, hostileTLS)
			for range 10 {
				time.Sleep(time.Second)
				e.served(t, reader, "with hostile connections")
			}
			cancel()
			running.Wait()
			e.within(t, p, 100)

			end := flood(t, "127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5", e.metrics, e.tcp()...)
			flooded, idle := time.Now(), p.processor(t)
			for i := range 6 {
				time.Sleep(1500 * time.Millisecond) // seldom, as the kubelet
				e.served(t, reader, "during a flood")
				if e.name == "controller" && i == 3 {
					b.service("web")
					b.has("web", "10.9.0.1")
				}
			}
			share := (p.processor(t) - idle).Seconds() / time.Since(flooded).Seconds()
			end()
			made := reviews(t, e.served(t, reader, "after the flood")) - before
			if most := 1.1*time.Since(began).Seconds() + 12; made > most {
				t.Errorf("the attacks made %v reviews of tokens, want at most %v", made, most)
			} else {
				t.Logf("%s: the attacks made %v reviews of tokens", e.name, made)
			}
			t.Logf("%s: the flood took %.0f %% of a processor", e.name, 100*share)
			e.within(t, p, 100)
			if e.name == "controller" {
				// At the address of the probes a flood is in their way, and not in that of the work.
				end := flood(t, "127.0.0.1", e.metrics, e.tcp()...)
				time.Sleep(2 * time.Second)
				b.service("next")
				b.has("next", "10.9.0.2")
				end()
				e.within(t, p, 100)
				eventually.Succeed(t, within, "probes are answered after the flood", func(ctx context.Context) error { return answers(ctx, e.health, "/readyz") })
			}
		})
	}
}

// listening lists the sockets of a process that take what others send, in order. It fails the
// test if a UDP socket takes what comes from this host, which is no peer's. Those with a port of
// the kernel's choice, which only send, are not in the list.
func listening(t *testing.T, pid int) (list []string) {
	t.Helper()
	mine := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			mine[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	for _, table := range []struct{ name, protocol, state string }{{"tcp", "tcp", "0A"}, {"tcp6", "tcp", "0A"}, {"udp", "udp", "07"}, {"udp6", "udp", "07"}} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table.name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != table.state || !mine[fields[9]] {
				continue
			}
			host, port, _ := strings.Cut(fields[1], ":")
			number, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			if host == "0100007F" {
				host = "127.0.0.1"
			}
			if table.protocol == "udp" {
				path := fmt.Sprintf("/proc/%d/net/%s", pid, table.name)
				refusesStrangers(t, net.UDPAddr{IP: net.ParseIP(host), Port: int(number)}, func() string { return dropped(t, path, fields[9]) })
				if number >= firstOfKernel {
					continue
				}
			}
			list = append(list, fmt.Sprintf("%s %s:%d", table.protocol, host, number))
		}
	}
	slices.Sort(list)
	return list
}

// firstOfKernel is the first port that the kernel chooses for sockets that name none
// (net.ipv4.ip_local_port_range).
const firstOfKernel = 32768

// refusesStrangers fails the test if the kernel passes a datagram of this host to a UDP socket.
func refusesStrangers(t *testing.T, socket net.UDPAddr, drops func() string) {
	t.Helper()
	before := drops()
	c, err := net.DialUDP("udp", nil, &socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("stranger")); err != nil {
		t.Fatal(err)
	}
	eventually.Succeed(t, within, "the kernel drops a stranger's datagram", func(context.Context) error {
		if after := drops(); after == before {
			return fmt.Errorf("udp %s dropped %s, as before", socket.String(), after)
		}
		return nil
	})
}

// dropped returns how many datagrams the kernel has dropped for a socket, by its inode, from
// a table as of /proc/net/udp.
func dropped(t *testing.T, table, inode string) string {
	t.Helper()
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 13 && fields[9] == inode {
			return fields[12]
		}
	}
	t.Fatalf("no socket %s in %s", inode, table)
	return ""
}

// oneMiBOfLabels has short keys, which are in the managed fields once more.
func oneMiBOfLabels() map[string]string {
	labels, size := map[string]string{}, 0
	for i := 0; size < 1<<20; i++ {
		key, value := fmt.Sprintf("l-%05d", i), strings.Repeat("v", 63)
		labels[key] = value
		size += len(key) + len(value)
	}
	return labels
}

// large returns object i of a tenant: Services of type LoadBalancer, what has the labels of
// the operator and of its components, and EndpointSlices.
func (b *bed) large(i int, labels map[string]string) []client.Object {
	labelled := maps.Clone(labels)
	labelled[v1beta1.LabelManagedBy], labelled["app.kubernetes.io/name"] = v1beta1.ManagedByOperator, "lbstack"
	meta := func(labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: b.namespace, Name: fmt.Sprintf("large-%d", i), Labels: labels}
	}
	others := []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta(labelled)}, &rbacv1.Role{ObjectMeta: meta(labelled)},
		&corev1.Pod{ObjectMeta: meta(labelled), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
	}
	objects := []client.Object{others[i%len(others)], &corev1.Service{ObjectMeta: meta(labels), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: new("example.com/other"), AllocateLoadBalancerNodePorts: new(false),
		Ports: []corev1.ServicePort{{Port: 80}},
	}}}
	for slice := range 5 {
		s := &discoveryv1.EndpointSlice{ObjectMeta: meta(map[string]string{discoveryv1.LabelServiceName: "web"}), AddressType: discoveryv1.AddressTypeIPv4}
		s.Name += fmt.Sprintf("-%d", slice)
		for j := range 1000 {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{fmt.Sprintf("10.%d.%d.%d", i, j/250, j%250)}, NodeName: new(fmt.Sprintf("invented-%d-%d-%d", i, slice, j)),
			})
		}
		objects = append(objects, s)
	}
	return objects
}

func TestObjectsOfTenantsCostABoundedAmount(t *testing.T) {
	b := newBed(t)
	b.machine("exposed", nil)
	b.Cleanup(func() {
		for _, kind := range []client.Object{&discoveryv1.EndpointSlice{}, &corev1.ServiceAccount{}, &rbacv1.Role{}, &corev1.Pod{}} {
			if err := b.DeleteAllOf(context.Background(), kind, client.InNamespace(b.namespace), client.GracePeriodSeconds(0)); err != nil {
				t.Error(err)
			}
		}
	})
	labels := oneMiBOfLabels()
	work, ctx := errgroup.WithContext(t.Context())
	work.SetLimit(8)
	for i := range 100 {
		for _, object := range b.large(i, labels) {
			work.Go(func() error { return b.Create(ctx, object) })
		}
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	b.pool("pool", "10.9.0.1-10.9.0.9")
	// On no interface: the speaker is in the network of this machine, which is not to notice.
	b.advertise("all", func(ad *v1beta1.L2AdvertisementSpec) { ad.Interfaces = []v1beta1.InterfaceName{"absent0"} })
	for _, tt := range []struct {
		name, service, address string
		env                    []string
	}{
		{name: "lists are streamed", service: "web", address: "10.9.0.1"},
		{name: "lists are in pages", service: "paged", address: "10.9.0.2", env: []string{"KUBE_FEATURE_WatchListClient=false"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Cleanup(func() { remove(t, b.Client, &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "exposed"}}) })
			running := map[*process]exposed{}
			for _, e := range exposedPrograms(t, b.namespace) {
				running[e.run(t, tt.env...)] = e
			}
			b.service(tt.service)
			b.endpoints(tt.service, "exposed")
			b.has(tt.service, tt.address)
			eventually.Succeed(t, within, "the speaker reports", func(ctx context.Context) error {
				state := &v1beta1.SpeakerState{}
				if err := b.Get(ctx, client.ObjectKey{Name: "exposed"}, state); err != nil {
					return err
				}
				if state.Status.Phase != v1beta1.SpeakerActive {
					return fmt.Errorf("its phase is %q", state.Status.Phase)
				}
				return nil
			})
			for p, e := range running {
				e.within(t, p, 90) // what it takes varies from run to run
			}
		})
	}
}
