package speakerstate

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// answerTimeout is how long a kubelet may take to answer.
	answerTimeout = 2 * time.Second
	// answerLifetime is how long an answer counts before the kubelet is checked again.
	answerLifetime = 5 * time.Second
	// maxOpenChecks is how many checks can be open at once.
	maxOpenChecks = 64
)

// kubeletChecker checks in the background whether kubelets answer a TLS handshake. It is safe for concurrent
// use; make it with newKubeletChecker.
type kubeletChecker struct {
	answers func(context.Context, netip.AddrPort) bool // checks a kubelet; it returns when the context ends
	ended   chan event.GenericEvent                    // gets an event after each check

	mu        sync.Mutex
	questions map[lb.NodeName]kubeletCheck
	open      int
}

// kubeletCheck is the check of one kubelet.
type kubeletCheck struct {
	kubelet netip.AddrPort
	open    bool
	at      time.Time // time of the answer; zero: there is no answer yet
	answer  bool
}

func newKubeletChecker() *kubeletChecker {
	return &kubeletChecker{answers: completesHandshake, ended: make(chan event.GenericEvent, 1), questions: map[lb.NodeName]kubeletCheck{}}
}

// ask returns which of these kubelets answered their last check. In the background, it starts checks of the
// kubelets without an answer, and of those whose answer is older than answerLifetime. It removes the answers
// of all other kubelets. After each check, an event is sent to k.ended.
func (k *kubeletChecker) ask(now time.Time, about map[lb.NodeName]netip.AddrPort) (answers map[lb.NodeName]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	answers = map[lb.NodeName]bool{}
	for node, q := range k.questions {
		if about[node] != q.kubelet {
			delete(k.questions, node)
		}
	}
	for node, kubelet := range about {
		q := k.questions[node]
		if !q.at.IsZero() {
			answers[node] = q.answer
		}
		if q.open || !q.at.IsZero() && now.Sub(q.at) < answerLifetime || k.open == maxOpenChecks {
			continue
		}
		q.kubelet, q.open = kubelet, true
		k.questions[node] = q
		k.open++
		go k.checkKubelet(node, kubelet)
	}
	return answers
}

// checkKubelet checks one kubelet.
func (k *kubeletChecker) checkKubelet(node lb.NodeName, kubelet netip.AddrPort) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	answer := k.answers(ctx, kubelet)
	k.mu.Lock()
	k.open--
	if q, asked := k.questions[node]; asked && q.kubelet == kubelet {
		k.questions[node] = kubeletCheck{kubelet: kubelet, at: time.Now(), answer: answer}
	}
	k.mu.Unlock()
	select {
	case k.ended <- event.GenericEvent{}:
	default: // the channel still has an event, and the reconcile for that event gets this answer as well
	}
}

// completesHandshake reports whether a kubelet completes a TLS handshake. A TCP connection alone does not
// show that the kubelet works: the kernel accepts it even if all programs of the machine hang. The
// certificate is not verified. No data is sent to the kubelet. A false answer for a missing node only has the
// effect that the last report of its speaker still counts.
func completesHandshake(ctx context.Context, kubelet netip.AddrPort) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", kubelet.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil
}
