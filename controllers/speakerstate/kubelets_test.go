package speakerstate

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func kubeletAt(host int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(host >> 8), byte(host)}), 10250)
}

func TestKubelets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, asked := newKubeletChecker(), map[netip.AddrPort]int{}
		k.answers = func(ctx context.Context, kubelet netip.AddrPort) bool {
			k.mu.Lock()
			asked[kubelet]++
			k.mu.Unlock()
			if kubelet == kubeletAt(1) {
				return true
			}
			<-ctx.Done()
			return false
		}
		both := map[lb.NodeName]netip.AddrPort{"a": kubeletAt(1), "b": kubeletAt(2)}
		expect := func(when string, about map[lb.NodeName]netip.AddrPort, want map[lb.NodeName]bool) {
			t.Helper()
			if diff := cmp.Diff(want, k.ask(time.Now(), about)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
			synctest.Wait()
		}
		expect("at first", both, map[lb.NodeName]bool{})
		expect("one has answered", both, map[lb.NodeName]bool{"a": true})
		<-k.ended
		time.Sleep(answerTimeout)
		synctest.Wait()
		<-k.ended // one has not answered in time
		expect("the other did not answer", both, map[lb.NodeName]bool{"a": true, "b": false})
		if diff := cmp.Diff([]int{1, 1}, []int{asked[kubeletAt(1)], asked[kubeletAt(2)]}); diff != "" {
			t.Errorf("questions while the answers count (-want +got):\n%s", diff)
		}
		time.Sleep(answerLifetime)
		expect("while it is asked again the last answer counts", both, map[lb.NodeName]bool{"a": true, "b": false})
		if diff := cmp.Diff([]int{2, 2}, []int{asked[kubeletAt(1)], asked[kubeletAt(2)]}); diff != "" {
			t.Errorf("questions when the answers do not count any more (-want +got):\n%s", diff)
		}
		expect("there are no doubts", nil, map[lb.NodeName]bool{})
		time.Sleep(answerTimeout)
		expect("an answer that comes after the doubt is over does not count", both, map[lb.NodeName]bool{})
		moved := map[lb.NodeName]netip.AddrPort{"b": kubeletAt(1)}
		expect("a node has another address", moved, map[lb.NodeName]bool{})
		expect("it answers there", moved, map[lb.NodeName]bool{"b": true})
		time.Sleep(answerTimeout)
	})
}

func TestKubelets_QuestionsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, open, most := newKubeletChecker(), 0, 0
		k.answers = func(ctx context.Context, _ netip.AddrPort) bool {
			k.mu.Lock()
			open++
			most = max(most, open)
			k.mu.Unlock()
			<-ctx.Done()
			k.mu.Lock()
			open--
			k.mu.Unlock()
			return false
		}
		all := map[lb.NodeName]netip.AddrPort{}
		for i := range 3 * maxOpenChecks {
			all[lb.NodeName(fmt.Sprintf("n%d", i))] = kubeletAt(i)
		}
		for i := range 3 {
			if answers := k.ask(time.Now(), all); len(answers) != i*maxOpenChecks {
				t.Errorf("round %d: got %d answers, want %d", i, len(answers), i*maxOpenChecks)
			}
			time.Sleep(answerTimeout)
			synctest.Wait()
			<-k.ended
		}
		if most != maxOpenChecks {
			t.Errorf("got %d questions at once, want %d", most, maxOpenChecks)
		}
	})
}

func TestHandshake(t *testing.T) {
	kubelet := httptest.NewTLSServer(http.NotFoundHandler())
	defer kubelet.Close()
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and no program does
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, tt := range map[string]struct {
		at   net.Addr
		want bool
	}{
		"runs":            {kubelet.Listener.Addr(), true},
		"hangs":           {hangs.Addr(), false},
		"does not listen": {closed.Addr(), false},
	} {
		within := 10 * time.Second
		if !tt.want {
			within = 100 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		if got := completesHandshake(ctx, netip.MustParseAddrPort(tt.at.String())); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
		cancel()
	}
}
