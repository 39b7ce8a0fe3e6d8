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
	// answerWithin is how long a kubelet may take to answer.
	answerWithin = 2 * time.Second
	// answerLasts is how long an answer counts before the kubelet is asked again.
	answerLasts = 5 * time.Second
	// mostQuestions bounds how many questions are open at once.
	mostQuestions = 64
)

// kubelets checks in the background whether kubelets answer a TLS handshake. It is safe for
// concurrent use; make it with newKubelets.
type kubelets struct {
	answers func(context.Context, netip.AddrPort) bool // ends with the context
	ended   chan event.GenericEvent                    // gets an event after each question

	mu        sync.Mutex
	questions map[lb.NodeName]question
	open      int
}

// question is the check of one kubelet.
type question struct {
	kubelet netip.AddrPort
	open    bool
	at      time.Time // of the answer; zero: there is none yet
	answer  bool
}

func newKubelets() *kubelets {
	return &kubelets{answers: handshake, ended: make(chan event.GenericEvent, 1), questions: map[lb.NodeName]question{}}
}

// ask returns which of these kubelets answered when they were last asked, and asks again those
// whose answers are older than answerLasts. It forgets all other kubelets. An event is sent to
// ended after each answer.
func (k *kubelets) ask(now time.Time, about map[lb.NodeName]netip.AddrPort) (answers map[lb.NodeName]bool) {
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
		if q.open || !q.at.IsZero() && now.Sub(q.at) < answerLasts || k.open == mostQuestions {
			continue
		}
		q.kubelet, q.open = kubelet, true
		k.questions[node] = q
		k.open++
		go k.find(node, kubelet)
	}
	return answers
}

// find asks one kubelet.
func (k *kubelets) find(node lb.NodeName, kubelet netip.AddrPort) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	answer := k.answers(ctx, kubelet)
	k.mu.Lock()
	k.open--
	if q, asked := k.questions[node]; asked && q.kubelet == kubelet {
		k.questions[node] = question{kubelet: kubelet, at: time.Now(), answer: answer}
	}
	k.mu.Unlock()
	select {
	case k.ended <- event.GenericEvent{}:
	default: // the reconcile for an event that is not read yet gets this answer as well
	}
}

// handshake reports whether a kubelet completes a TLS handshake. A TCP connection is no evidence:
// the kernel accepts it even if all programs of the machine hang. The certificate is not verified:
// nothing is sent to the kubelet, and an answer only leaves a report in effect.
func handshake(ctx context.Context, kubelet netip.AddrPort) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", kubelet.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil
}
