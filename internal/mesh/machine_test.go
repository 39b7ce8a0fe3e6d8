package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

const ms = time.Millisecond

var (
	relaxed  = Timing{Beat: 300 * ms, Silence: 1200 * ms}
	standard = Timing{Beat: 90 * ms, Silence: 300 * ms}
	fast     = Timing{Beat: 30 * ms, Silence: 150 * ms}
	vip      = netip.MustParseAddr("192.168.1.240")
	byValue  = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
)

// script is the machine of node a, among others that say what the test says.
type script struct {
	t        *testing.T
	m        *Machine
	now      time.Time
	sent     []Send                           // since they were last taken
	spoke    map[lb.NodeName]time.Time        // when another one sent its last beat
	suspects map[lb.NodeName][]lb.NodeName    // whom another one suspects
	said     map[lb.NodeName]*wire.Message    // what another one's beats say
	quiet    map[lb.NodeName]func() wire.Kind // of which kind its messages are instead
}

// begin is a cluster in which all others have just said that they are active.
func begin(t *testing.T, others ...lb.NodeName) *script {
	s := &script{
		t: t, m: New("a", 10, standard), now: time.Unix(1000, 0), spoke: map[lb.NodeName]time.Time{},
		suspects: map[lb.NodeName][]lb.NodeName{}, said: map[lb.NodeName]*wire.Message{}, quiet: map[lb.NodeName]func() wire.Kind{},
	}
	s.note(s.m.SetPeers(s.now, append([]lb.NodeName{"a"}, others...)))
	s.note(s.m.Publish(s.now, wire.State{Phase: ownership.Active}))
	for _, node := range others {
		s.says(node, 1, 1, wire.State{Phase: ownership.Active, Claims: ownership.Claims{}})
	}
	s.sent = nil
	return s
}

func (s *script) note(sends []Send) { s.sent = append(s.sent, sends...) }

// says has another one send its state.
func (s *script) says(node lb.NodeName, incarnation, sequence uint64, state wire.State) {
	s.hears(&wire.Message{Kind: wire.KindState, From: node, Incarnation: incarnation, Sequence: sequence, Interval: standard.Beat, State: state})
	s.said[node] = &wire.Message{Kind: wire.KindBeat, From: node, Incarnation: incarnation, Sequence: sequence, Interval: standard.Beat}
	s.spoke[node] = s.now
}

func (s *script) hears(msg *wire.Message) { s.note(s.m.Receive(s.now, msg)) }

// beats has another one send a beat.
func (s *script) beats(node lb.NodeName) {
	beat := *s.said[node]
	beat.Suspects = s.suspects[node]
	if kind := s.quiet[node]; kind != nil {
		beat.Kind = kind()
	}
	s.spoke[node] = s.now
	s.hears(&beat)
}

// passes lets time pass in which only some of the others are heard.
func (s *script) passes(d time.Duration, heard ...lb.NodeName) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(5 * ms)
		for _, node := range heard {
			if s.now.Sub(s.spoke[node]) >= standard.Beat {
				s.beats(node)
			}
		}
		s.note(s.m.Tick(s.now))
	}
}

func live(v View) []lb.NodeName {
	var nodes []lb.NodeName
	for _, p := range v.Peers {
		nodes = append(nodes, p.Node)
	}
	return nodes
}

// lives fails unless exactly these others live.
func (s *script) lives(when string, want ...lb.NodeName) {
	s.t.Helper()
	if diff := cmp.Diff(want, live(s.m.View()), cmpopts.EquateEmpty()); diff != "" {
		s.t.Errorf("%s, who lives (-want +got):\n%s", when, diff)
	}
}

// takes returns what was sent of a kind since it was called last, by receiver.
func (s *script) takes(kind wire.Kind) map[lb.NodeName]*wire.Message {
	got := map[lb.NodeName]*wire.Message{}
	for _, send := range s.sent {
		if send.Message.Kind == kind {
			got[send.To] = send.Message
		}
	}
	s.sent = nil
	return got
}

func TestWhoIsSilentIsConvictedIfNobodyHearsIt(t *testing.T) {
	ack := func() wire.Kind { return wire.KindAck }
	tests := []struct {
		name   string
		others []lb.NodeName // besides b, which is silent
		change func(*script)
		// after which silence of b it is gone at the earliest and at the latest; zero: never
		after, before time.Duration
	}{
		{name: "there is nobody to ask", after: 295 * ms, before: 305 * ms},
		{name: "another one suspects it as well", others: []lb.NodeName{"c"}, after: 295 * ms, before: 400 * ms,
			change: func(s *script) { s.suspects["c"] = []lb.NodeName{"b"} }},
		{name: "one of two others suspects it as well", others: []lb.NodeName{"c", "d"}, after: 295 * ms, before: 400 * ms,
			change: func(s *script) { s.suspects["d"] = []lb.NodeName{"b"} }},
		{name: "another one still hears it", others: []lb.NodeName{"c"}},
		{name: "another one suspects somebody else", others: []lb.NodeName{"c"}, change: func(s *script) { s.suspects["c"] = []lb.NodeName{"x"} }},
		{name: "another one lives and says nothing of it", others: []lb.NodeName{"c"}, after: 595 * ms, before: 610 * ms,
			change: func(s *script) { s.quiet["c"] = ack }},
		{name: "another one suspected it long ago", others: []lb.NodeName{"c"}, after: 595 * ms, before: 610 * ms,
			change: func(s *script) {
				s.suspects["c"] = []lb.NodeName{"b"}
				s.beats("c")
				s.quiet["c"] = ack
				s.passes(time.Second, "b", "c")
				s.beats("b")
			}},
		{name: "the only other one restarts", others: []lb.NodeName{"c"}, after: 295 * ms, before: 305 * ms,
			change: func(s *script) { s.says("c", 1, 2, wire.State{Phase: ownership.Restarting, Back: time.Minute}) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, append([]lb.NodeName{"b"}, tt.others...)...)
			if tt.change != nil {
				tt.change(s)
			}
			if tt.before == 0 {
				s.passes(5*time.Second, tt.others...)
				s.lives("after 5 s", append([]lb.NodeName{"b"}, tt.others...)...)
				return
			}
			s.passes(tt.after, tt.others...)
			s.lives(fmt.Sprint("after ", tt.after), append([]lb.NodeName{"b"}, tt.others...)...)
			s.passes(tt.before-tt.after, tt.others...)
			s.lives(fmt.Sprint("after ", tt.before), tt.others...)
		})
	}
}

func TestASuspicionIsToldAtOnceToAllAndADenialEndsWithTheSilence(t *testing.T) {
	s := begin(t, "b", "c", "d")
	s.passes(295*ms, "c", "d")
	for to, msg := range s.takes(wire.KindBeat) {
		if len(msg.Suspects) > 0 {
			t.Errorf("%s was told of %v, want nobody suspected after 295 ms", to, msg.Suspects)
		}
	}
	s.passes(5*ms, "c", "d")
	told := s.takes(wire.KindBeat)
	for _, to := range []lb.NodeName{"b", "c", "d"} {
		if told[to] == nil || !slices.Equal(told[to].Suspects, []lb.NodeName{"b"}) {
			t.Errorf("%s was told %+v, want that b is suspected", to, told[to])
		}
	}
	s.beats("b")
	s.takes(wire.KindBeat)
	s.passes(65*ms, "b", "c", "d")
	for to, msg := range s.takes(wire.KindBeat) {
		if len(msg.Suspects) > 0 {
			t.Errorf("%s was told of %v, want nobody: b was heard", to, msg.Suspects)
		}
	}
}

func TestAConvictedOneStaysAccusedUntilItIsHeard(t *testing.T) {
	s := begin(t, "b", "c")
	s.suspects["c"] = []lb.NodeName{"b"}
	s.passes(time.Second, "c")
	s.lives("after a second", "c")
	if got := s.takes(wire.KindBeat)["c"]; got == nil || !slices.Equal(got.Suspects, []lb.NodeName{"b"}) {
		t.Errorf("got beat %+v, want b among the suspects", got)
	}
	s.suspects["c"] = nil
	s.beats("b")
	s.lives("as soon as it is heard", "b", "c")
	s.takes(wire.KindBeat)
	s.passes(standard.Beat, "b", "c")
	if got := s.takes(wire.KindBeat)["c"]; got == nil || len(got.Suspects) > 0 {
		t.Errorf("got beat %+v, want nobody suspected any more", got)
	}
}

func TestOneThatWasLostComesBackWithWhatItSaysNow(t *testing.T) {
	s := begin(t, "b", "c")
	s.suspects["c"] = []lb.NodeName{"b"}
	s.passes(time.Second, "c")
	s.takes(wire.KindPull)
	s.hears(&wire.Message{Kind: wire.KindBeat, From: "b", Incarnation: 1, Sequence: 2, Interval: standard.Beat})
	s.lives("as long as only an old state is known", "c")
	if got := s.takes(wire.KindPull); got["b"] == nil {
		t.Error("b was not asked for its state")
	}
	s.says("b", 1, 2, wire.State{Phase: ownership.Active})
	s.lives("when it has said what it has", "b", "c")
}

func TestWhoIsMissingIsAskedNowAndThen(t *testing.T) {
	s := begin(t, "b")
	s.note(s.m.SetPeers(s.now, []lb.NodeName{"a", "b", "c"}))
	s.sent = nil
	asked := 0
	for range 12 { // of the silence in all
		s.passes(standard.Silence, "b")
		if got := s.takes(wire.KindPull); got["c"] != nil && got["b"] == nil {
			asked++
		}
	}
	if asked < 8 {
		t.Errorf("c was asked in %d of 12 times, want most", asked)
	}
}

func TestANewProcessIsToldWhoIsHere(t *testing.T) {
	s := begin(t, "b")
	for _, node := range []lb.NodeName{"b", "stranger"} {
		s.hears(&wire.Message{Kind: wire.KindBeat, From: node, Incarnation: 2, Interval: standard.Beat})
		if got := s.takes(wire.KindState)[node]; got == nil || got.State.Phase != ownership.Active {
			t.Errorf("%s was told %+v, want the state", node, got)
		}
	}
}

func TestRestarts(t *testing.T) {
	claims := ownership.Claims{vip: 7}
	restarting := wire.State{Phase: ownership.Restarting, Back: 5 * time.Second, Claims: claims}
	state := func(s *script) (wire.State, bool) {
		for _, p := range s.m.View().Peers {
			if p.Node == "b" {
				return p.State, true
			}
		}
		return wire.State{}, false
	}
	tests := []struct {
		name string
		does func(*script)
		// what is known of b then; nil: it does not live
		want *wire.State
	}{
		{name: "it is kept until it is to be back", does: func(s *script) { s.passes(4990*ms, "c") }, want: &restarting},
		{name: "it is lost when it is not back in time", does: func(s *script) { s.passes(5*time.Second, "c") }},
		{name: "a new process that is starting keeps what the old one had",
			does: func(s *script) {
				s.passes(time.Second, "c")
				s.says("b", 2, 1, wire.State{})
				s.passes(time.Second, "b", "c")
			}, want: &restarting},
		{name: "a new process is heard by its beats only", does: func(s *script) {
			s.hears(&wire.Message{Kind: wire.KindBeat, From: "b", Incarnation: 2, Interval: standard.Beat})
		}, want: &restarting},
		{name: "a new process that never gets further is lost in time",
			does: func(s *script) {
				s.says("b", 2, 1, wire.State{})
				s.passes(5*time.Second, "b", "c")
				s.passes(time.Second, "c")
			}},
		{name: "a new process says what it has", does: func(s *script) {
			s.says("b", 2, 1, wire.State{Claims: ownership.Claims{}})
			s.says("b", 2, 2, wire.State{Phase: ownership.Active, Claims: ownership.Claims{vip: 8}})
		}, want: &wire.State{Phase: ownership.Active, Claims: ownership.Claims{vip: 8}}},
		{name: "a crash drops at once what was there", does: func(s *script) {
			s.says("b", 1, 3, wire.State{Phase: ownership.Active, Claims: claims})
			s.hears(&wire.Message{Kind: wire.KindBeat, From: "b", Incarnation: 2, Interval: standard.Beat})
		}},
		{name: "after a crash it lives again when it says something", does: func(s *script) {
			s.says("b", 1, 3, wire.State{Phase: ownership.Active, Claims: claims})
			s.says("b", 2, 1, wire.State{Claims: ownership.Claims{}})
		}, want: &wire.State{Claims: ownership.Claims{}}},
		{name: "words of the old process are not heard any more", does: func(s *script) {
			s.says("b", 2, 1, wire.State{Phase: ownership.Active, Claims: ownership.Claims{}})
			s.says("b", 1, 9, wire.State{Phase: ownership.Draining, Claims: claims})
		}, want: &wire.State{Phase: ownership.Active, Claims: ownership.Claims{}}},
		{name: "a dead kernel ends the wait", does: func(s *script) { s.m.Vanished(s.now, "b") }},
		{name: "the transport is not believed", does: func(s *script) { s.m.Gone(s.now, "b") }, want: &restarting},
		{name: "a kernel that vanishes is no news of one that is active", does: func(s *script) {
			s.says("b", 2, 2, wire.State{Phase: ownership.Active, Claims: ownership.Claims{}})
			s.m.Vanished(s.now, "b")
		}, want: &wire.State{Phase: ownership.Active, Claims: ownership.Claims{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c")
			s.says("b", 1, 2, restarting)
			if diff := cmp.Diff([]lb.NodeName{"b"}, s.m.Doubtful()); diff != "" {
				t.Errorf("whose kernels are to be asked (-want +got):\n%s", diff)
			}
			tt.does(s)
			got, lives := state(s)
			switch {
			case lives != (tt.want != nil):
				t.Errorf("it lives: %v, want %v", lives, tt.want != nil)
			case lives:
				if diff := cmp.Diff(*tt.want, got, byValue, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("what is known of it (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestWhoStartsIsToldWhatThoseWhoRestartKeep(t *testing.T) {
	s := begin(t, "b", "c")
	s.says("b", 1, 2, wire.State{Phase: ownership.Restarting, Back: 5 * time.Second, Claims: ownership.Claims{vip: 7}})
	s.passes(time.Second, "c")
	s.takes(wire.KindState)
	s.hears(&wire.Message{Kind: wire.KindPull, From: "c", Incarnation: 2, Sequence: 0, Interval: standard.Beat})
	for _, send := range s.sent {
		if msg := send.Message; msg.Kind == wire.KindState && msg.From == "b" {
			if send.To != "c" || msg.State.Back != 4*time.Second || msg.State.Claims[vip] != 7 || msg.Sequence != 2 {
				t.Errorf("%s was told %+v, want c told that b will be back in 4 s", send.To, msg)
			}
			return
		}
	}
	t.Errorf("got %v, want what b said last", s.sent)
}

func TestAllOthersAreSilent(t *testing.T) {
	three := []lb.NodeName{"b", "c", "d"}
	tests := []struct {
		name string
		does func(*script)
		want []lb.NodeName
	}{
		{"all are lost after the detection time", func(s *script) { s.passes(310 * ms) }, nil},
		{"none is lost before", func(s *script) { s.passes(230 * ms) }, three},
		{"all but one are lost", func(s *script) { s.suspects["d"] = three[:2]; s.passes(5*time.Second, "d") }, three[2:]},
		{"one that restarts is not lost with the others", func(s *script) {
			s.says("b", 1, 2, wire.State{Phase: ownership.Restarting, Back: time.Minute})
			s.passes(310 * ms)
		}, three[:1]},
		{"one lives again when it is heard", func(s *script) { s.passes(time.Second); s.beats("c") }, three[1:2]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, three...)
			s.passes(time.Second, three...)
			tt.does(s)
			s.lives("in the end", tt.want...)
		})
	}
}

func TestAStateThatWasMissedIsAskedFor(t *testing.T) {
	s := begin(t, "b")
	beat := func(sequence uint64) {
		s.hears(&wire.Message{Kind: wire.KindBeat, From: "b", Incarnation: 1, Sequence: sequence, Interval: standard.Beat})
	}
	beat(1)
	if got := s.takes(wire.KindPull); len(got) > 0 {
		t.Errorf("got %v, want nothing asked: nothing was missed", got)
	}
	for range 2 { // the first answer is lost
		beat(2)
		if got := s.takes(wire.KindPull); got["b"] == nil {
			t.Error("nothing was asked, want the second state")
		}
	}
	s.says("b", 1, 2, wire.State{Phase: ownership.Active, Claims: ownership.Claims{vip: 3}})
	before := s.m.Version()
	s.says("b", 1, 1, wire.State{Phase: ownership.Draining})
	if got := s.m.View().Peers[0].State; got.Claims[vip] != 3 || s.m.Version() != before {
		t.Errorf("got %+v, want the later state although the earlier came after it", got)
	}
	s.takes(wire.KindPull)
	beat(2)
	if got := s.takes(wire.KindPull); len(got) > 0 {
		t.Errorf("got %v, want nothing asked any more", got)
	}
}

func TestWhoIsAskedAnswersWithHisStateAndTheNonce(t *testing.T) {
	s := begin(t, "b")
	s.note(s.m.Publish(s.now, wire.State{Phase: ownership.Restarting, Back: 3 * time.Second, Claims: ownership.Claims{vip: 4}}))
	if got := s.takes(wire.KindState)["b"]; got == nil || got.Sequence != 2 || got.State.Claims[vip] != 4 {
		t.Errorf("got %+v, want the new state told at once", got)
	}
	s.passes(time.Second, "b")
	s.takes(wire.KindState)
	s.hears(&wire.Message{Kind: wire.KindPull, From: "b", Incarnation: 1, Sequence: 1, Nonce: 42})
	got := s.takes(wire.KindState)["b"]
	if got == nil || got.Nonce != 42 || got.Sequence != 2 || got.State.Back != 2*time.Second {
		t.Errorf("got %+v, want the second state, nonce 42, back in 2 s", got)
	}
}

func TestWhoRestartsWaitsUntilAllHaveActed(t *testing.T) {
	s := begin(t, "b", "c")
	s.note(s.m.Publish(s.now, wire.State{Phase: ownership.Restarting, Back: 10 * time.Second}))
	ack := func(from lb.NodeName, incarnation, sequence uint64) {
		s.hears(&wire.Message{Kind: wire.KindAck, From: from, Incarnation: 1, Sequence: 1, Interval: standard.Beat, AckedIncarnation: incarnation, AckedSequence: sequence})
	}
	heeded := func(when string, want bool) {
		t.Helper()
		if got := s.m.Heeded(); got != want {
			t.Errorf("%s: heeded %v, want %v", when, got, want)
		}
	}
	heeded("at first", false)
	ack("b", 10, 2)
	heeded("after one of two", false)
	ack("c", 10, 1)
	heeded("after the other acted on an earlier state", false)
	ack("c", 9, 2)
	heeded("after the other answered to an earlier process", false)
	ack("c", 10, 2)
	heeded("after both", true)
	s.says("c", 2, 1, wire.State{Phase: ownership.Active})
	heeded("when one has started anew since", false)
	s.note(s.m.Publish(s.now, wire.State{Phase: ownership.Restarting, Back: 10 * time.Second}))
	heeded("after something new", false)
	ack("b", 10, 3)
	s.says("c", 2, 2, wire.State{Phase: ownership.Restarting, Back: time.Minute})
	heeded("when the other restarts itself", true)
}

func TestARestartIsAckedWhenItWasActedOn(t *testing.T) {
	s := begin(t, "b", "c")
	old := s.m.View()
	s.says("b", 1, 2, wire.State{Phase: ownership.Restarting, Back: 10 * time.Second})
	if got := s.takes(wire.KindAck); len(got) > 0 {
		t.Errorf("got %v, want nothing before it was acted on", got)
	}
	s.note(s.m.Acted(s.now, old))
	if got := s.takes(wire.KindAck); len(got) > 0 {
		t.Errorf("got %v, want nothing: what was acted on was older", got)
	}
	view := s.m.View()
	s.note(s.m.Acted(s.now, view))
	got := s.takes(wire.KindAck)
	if len(got) != 1 || got["b"] == nil || got["b"].AckedIncarnation != 1 || got["b"].AckedSequence != 2 {
		t.Errorf("got %v, want b told that its second state was acted on", got)
	}
	s.note(s.m.Acted(s.now, view))
	if got := s.takes(wire.KindAck); len(got) > 0 {
		t.Errorf("got %v, want it said once", got)
	}
	s.beats("b")
	if got := s.takes(wire.KindAck); got["b"] == nil {
		t.Error("nothing was said again although b still waits")
	}
}

func TestOneThatStoodStillAsksAllWhoLive(t *testing.T) {
	answer := func(s *script, from lb.NodeName, nonce uint64) {
		s.hears(&wire.Message{Kind: wire.KindState, From: from, Incarnation: 1, Sequence: 1, Interval: standard.Beat, Nonce: nonce, State: wire.State{Phase: ownership.Active}})
	}
	tests := []struct {
		name string
		does func(*script, uint64)
		want bool
	}{
		{name: "nobody has answered", does: func(*script, uint64) {}},
		{name: "one has answered", does: func(s *script, n uint64) { answer(s, "b", n) }},
		{name: "all have answered", does: func(s *script, n uint64) { answer(s, "b", n); answer(s, "c", n) }, want: true},
		{name: "an answer to an earlier question is none", does: func(s *script, n uint64) { answer(s, "b", n); answer(s, "c", n-1) }},
		{name: "a state that nobody asked for is no answer", does: func(s *script, n uint64) { answer(s, "b", n); answer(s, "c", 0) }},
		{name: "beats are no answer", does: func(s *script, _ uint64) { s.passes(time.Second, "b", "c") }},
		{name: "who dies meanwhile owes nothing", does: func(s *script, n uint64) {
			answer(s, "b", n)
			s.suspects["b"] = []lb.NodeName{"c"}
			s.passes(time.Second, "b")
		}, want: true},
		{name: "who restarts meanwhile owes nothing", does: func(s *script, n uint64) {
			answer(s, "b", n)
			s.says("c", 1, 2, wire.State{Phase: ownership.Restarting, Back: time.Minute})
		}, want: true},
		{name: "asked again, earlier answers do not count", does: func(s *script, n uint64) {
			answer(s, "b", n)
			answer(s, "c", n)
			s.note(s.m.Recheck(s.now))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c")
			s.note(s.m.Recheck(s.now))
			s.takes(wire.KindPull)
			s.note(s.m.Recheck(s.now))
			asked := s.takes(wire.KindPull)
			if len(asked) != 2 || asked["b"].Nonce == 0 || asked["b"].Nonce != asked["c"].Nonce {
				t.Fatalf("asked %v, want b and c with the same nonce", asked)
			}
			before := s.m.Version()
			tt.does(s, asked["b"].Nonce)
			if got := s.m.View().Checked; got != tt.want {
				t.Errorf("it may go on: %v, want %v", got, tt.want)
			}
			if tt.want && s.m.Version() == before {
				t.Error("the view has no new version, want it told that it may go on")
			}
			s.takes(wire.KindPull)
			s.passes(standard.Beat, "b", "c")
			if got := s.takes(wire.KindPull); (len(got) > 0) == tt.want {
				t.Errorf("a beat later %v is asked again, may go on: %v", got, tt.want)
			}
		})
	}
}

func TestTheOthersAreNotBlamedForAnOwnStall(t *testing.T) {
	s := begin(t, "b", "c")
	s.passes(time.Second, "b", "c")
	s.now = s.now.Add(10 * time.Second)
	s.note(s.m.Tick(s.now))
	s.lives("after the stall", "b", "c")
	for _, msg := range s.takes(wire.KindBeat) {
		if len(msg.Suspects) > 0 {
			t.Errorf("%v are suspected, want nobody", msg.Suspects)
		}
	}
	s.passes(310*ms, "c")
	if got := s.takes(wire.KindBeat)["c"]; got == nil || !slices.Equal(got.Suspects, []lb.NodeName{"b"}) {
		t.Errorf("got %+v, want b suspected: it is silent after the stall as well", got)
	}
}

func TestOneThatAsksAllGivesThemTime(t *testing.T) {
	s := begin(t, "b", "c")
	s.passes(280*ms, "c")
	s.note(s.m.Recheck(s.now))
	s.takes(wire.KindBeat)
	s.passes(200*ms, "c")
	for _, msg := range s.takes(wire.KindBeat) {
		if len(msg.Suspects) > 0 {
			t.Fatalf("%v are suspected, want nobody so soon", msg.Suspects)
		}
	}
}

func TestPeersComeAndGo(t *testing.T) {
	s := begin(t, "b")
	s.note(s.m.SetPeers(s.now, []lb.NodeName{"a", "b", "c"}))
	if got := s.sent; len(got) != 2 || got[0].To != "c" || got[1].To != "c" || got[0].Message.Kind != wire.KindState || got[1].Message.Kind != wire.KindPull {
		t.Errorf("sent %v, want c told who is here, and asked who it is", got)
	}
	v := s.m.View()
	if diff := cmp.Diff([]Missing{{Node: "c"}}, v.Missing); diff != "" {
		t.Errorf("who is missing (-want +got):\n%s", diff)
	}
	s.note(s.m.SetPeers(s.now, []lb.NodeName{"a"}))
	s.lives("although it should not be there", "b")
	if got := s.m.View().Missing; len(got) > 0 {
		t.Errorf("missing: got %v, want nobody", got)
	}
	s.passes(time.Second)
	s.lives("after it fell silent")
	if v := s.m.View(); len(v.Missing) > 0 {
		t.Errorf("got %+v, want nobody missing", v)
	}
	if got := s.m.known(); len(got) > 0 {
		t.Errorf("known: got %v, want nobody", got)
	}
}

func TestOneThatIsDefendedKeepsTheClockFromNothing(t *testing.T) {
	s := begin(t, "b", "c")
	for range 300 {
		s.passes(step, "c")
		if next := s.m.Next(s.now); !next.After(s.now) {
			t.Fatalf("at %s the next tick is due at %s", s.now, next)
		}
	}
	s.lives("c hears it", "b", "c")
}

func TestTheNextTickIsDueWhenSomethingHappens(t *testing.T) {
	// A clock that ticks only when it is due must see the same as one that always ticks.
	s := begin(t, "b")
	until := s.now.Add(time.Second)
	var lost time.Time
	for ticks := 0; s.now.Before(until); ticks++ {
		s.m.Tick(s.now)
		if lost.IsZero() && len(s.m.View().Peers) == 0 {
			lost = s.now
		}
		next := s.m.Next(s.now)
		if !next.After(s.now) || ticks > 100 {
			t.Fatalf("after tick %d at %s the next is due at %s", ticks, s.now, next)
		}
		s.now = next
	}
	if got, want := lost, time.Unix(1000, 0).Add(standard.Silence); !got.Equal(want) {
		t.Errorf("lost at %s, want %s", got, want)
	}
}

func TestAllWithTheSameProfileBeatAtTheSameMoments(t *testing.T) {
	for _, timing := range []Timing{relaxed, standard, fast} {
		begun := time.Unix(1000, 0)
		for i := range 20 {
			m := New("a", 1, timing)
			now := begun.Add(time.Duration(i) * 7 * ms)
			m.Tick(now)
			first := m.Next(now)
			if wait := first.Sub(now); wait <= 0 || wait > timing.Beat {
				t.Errorf("the first beat follows after %s, want more than 0 and at most %s", wait, timing.Beat)
			}
			m.Tick(first)
			if wait := m.Next(first).Sub(first); wait != timing.Beat {
				t.Errorf("the second beat follows after %s, want %s", wait, timing.Beat)
			}
			if !first.Equal(first.Truncate(timing.Beat)) {
				t.Errorf("a beat is due at %s", first)
			}
		}
	}
}

func TestBeatsAreQuietUnlessTheyAccuse(t *testing.T) {
	s := begin(t, "b", "c")
	quiet := func() (all, some bool) {
		all = true
		for _, send := range s.sent {
			if send.Message.Kind == wire.KindBeat {
				all, some = all && send.Quiet, some || send.Quiet
			} else if send.Quiet {
				t.Errorf("a message of the kind %d is quiet", send.Message.Kind)
			}
		}
		s.sent = nil
		return all, some
	}
	s.passes(4*standard.Beat, "b", "c")
	if all, some := quiet(); !all || !some {
		t.Errorf("nothing happens: all beats are quiet: %v, some are: %v", all, some)
	}
	s.passes(standard.Silence-10*ms, "c")
	quiet()
	s.passes(standard.Beat, "c")
	if _, some := quiet(); some {
		t.Error("b is silent, and a beat that accuses it is quiet")
	}
}

func TestWhatCameEarlierThanWhatWasHeardLastChangesNothing(t *testing.T) {
	s := begin(t, "b", "c")
	s.passes(standard.Beat, "b", "c")
	heard := s.now
	s.hears(&wire.Message{Kind: wire.KindPull, From: "b", Incarnation: 1, Sequence: 1, Interval: standard.Beat})
	s.note(s.m.Receive(heard.Add(-standard.Beat), s.said["b"])) // a quiet one that was read later
	s.passes(standard.Silence-standard.Beat/2, "c")
	s.lives("b was heard "+standard.Silence.String()+" ago, nearly", "b", "c")
	if got := s.m.peers["b"]; !got.suspected.IsZero() || !got.heard.Equal(heard) {
		t.Errorf("it was heard %s ago, suspected: %v", s.now.Sub(got.heard), !got.suspected.IsZero())
	}
}
