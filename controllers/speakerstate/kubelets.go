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
	// maxOpenChecks bounds how many checks are open at once.
	maxOpenChecks = 64
)

// kubeletChecker checks in the background whether kubelets answer a TLS handshake. It is safe for concurrent
// use; make it with newKubeletChecker.
type kubeletChecker struct {
	answers func(context.Context, netip.AddrPort) bool // ends with the context
	ended   chan event.GenericEvent                    // gets an event after each check

	mu        sync.Mutex
	questions map[lb.NodeName]kubeletCheck
	open      int
}

// kubeletCheck is the check of one kubelet.
type kubeletCheck struct {
	kubelet netip.AddrPort
	open    bool
	at      time.Time // of the answer; zero: there is none yet
	answer  bool
}

func newKubeletChecker() *kubeletChecker {
	return &kubeletChecker{answers: completesHandshake, ended: make(chan event.GenericEvent, 1), questions: map[lb.NodeName]kubeletCheck{}}
}

// ask returns which of these kubelets answered their last check. In the background it checks each kubelet
// again whose answer is older than answerLifetime. It removes the answers of all other kubelets. An event is
// sent to ended after each check.
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
	default: // the reconcile for an event that is not read yet gets this answer as well
	}
}

// completesHandshake reports whether a kubelet completes a TLS handshake. A TCP connection is no evidence:
// the kernel accepts it even if all programs of the machine hang. The certificate is not verified:
// nothing is sent to the kubelet, and an answer only leaves a report in effect.
func completesHandshake(ctx context.Context, kubelet netip.AddrPort) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", kubelet.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil
}
