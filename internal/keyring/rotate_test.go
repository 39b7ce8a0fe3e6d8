package keyring

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func fresh() [KeySize]byte { return [KeySize]byte(content("f")) }

func files(keys ...Entry) map[string][]byte {
	all := map[string][]byte{}
	for _, key := range keys {
		all[EntryName(key.Number)] = slices.Clone(key.Bytes[:])
	}
	return all
}

func accepts(keys ...Entry) SpeakerKeys { return SpeakerKeys{Accepts: IDs(keys)} }

func TestDecide(t *testing.T) {
	a, b := entry(1, "a"), entry(2, "b")
	type speakers = map[lb.NodeName]SpeakerKeys
	both := func(since time.Duration, s speakers) RotationState {
		return RotationState{Files: files(a, b), Since: noon.Add(-since), Done: "1", Request: "1", Speakers: s}
	}
	tests := []struct {
		name    string
		state   RotationState
		keys    []string
		since   time.Time // zero: noon
		done    string
		waiting []lb.NodeName
		late    bool
		until   time.Time
		again   time.Duration
	}{
		{name: "no Secret: the first key is made", keys: []string{"key-1 f"}},
		{name: "no Secret and a request: the first key is what was asked for", state: RotationState{Request: "1"}, keys: []string{"key-1 f"}, done: "1"},
		{name: "deleted Secret: the new key waits for the speakers that go on with the old one",
			state: RotationState{Speakers: speakers{"n1": accepts(a), "n2": {}, "n3": {Accepts: IDs([]Entry{a}), Down: true}}},
			keys:  []string{"key-1 f"}, waiting: []lb.NodeName{"n1"}, again: ExpectedDelay},
		{name: "damaged key alone: another one under another name", state: RotationState{Files: map[string][]byte{"key-4": []byte("x")}}, keys: []string{"key-5 f"}},
		{name: "name that cannot be counted on: the first key", state: RotationState{Files: map[string][]byte{"key-9007199254740991": nil, "key-x": nil}}, keys: []string{"key-1 f"}},
		{name: "damaged key next to a valid one: the valid one stays alone", state: RotationState{Files: map[string][]byte{"key-1": content("a"), "key-2": []byte("x")}, Since: noon}, keys: []string{"key-1 a"}},
		{name: "one key and no request: nothing changes", state: RotationState{Files: files(a), Since: noon.Add(-time.Hour), Done: "1"}, keys: []string{"key-1 a"}, since: noon.Add(-time.Hour), done: "1"},
		{name: "request that was followed: nothing changes", state: RotationState{Files: files(a), Since: noon, Done: "1", Request: "1"}, keys: []string{"key-1 a"}, done: "1"},
		{name: "request that was taken back: nothing changes", state: RotationState{Files: files(a), Since: noon, Done: "1"}, keys: []string{"key-1 a"}, done: "1"},
		{name: "new request: a second key is added", state: RotationState{Files: files(a), Since: noon.Add(-time.Hour), Done: "1", Request: "2", Speakers: speakers{"n1": accepts(a), "n2": {}}},
			keys: []string{"key-2 f", "key-1 a"}, done: "2", waiting: []lb.NodeName{"n1", "n2"}, until: noon.Add(MaxOverlap), again: MinOverlap},
		{name: "all speakers accept the new key, and it is young: both stay", state: both(MinOverlap-time.Second, speakers{"n1": accepts(b, a)}),
			keys: []string{"key-2 b", "key-1 a"}, since: noon.Add(time.Second - MinOverlap), done: "1", until: noon.Add(time.Second - MinOverlap + MaxOverlap), again: time.Second},
		{name: "all speakers accept the new key: the old one goes", state: both(MinOverlap, speakers{"n1": accepts(b, a), "n2": accepts(b)}),
			keys: []string{"key-2 b"}, since: noon.Add(-MinOverlap), done: "1"},
		{name: "there are no speakers: the old key goes", state: both(MinOverlap, nil), keys: []string{"key-2 b"}, since: noon.Add(-MinOverlap), done: "1"},
		{name: "one speaker does not accept the new key: both stay", state: both(10*time.Minute, speakers{"n1": accepts(b, a), "n2": accepts(a)}),
			keys: []string{"key-2 b", "key-1 a"}, since: noon.Add(-10 * time.Minute), done: "1", waiting: []lb.NodeName{"n2"}, late: true, until: noon.Add(50 * time.Minute), again: 50 * time.Minute},
		{name: "speaker that reports nothing, and one that is down: both stay", state: both(10*time.Minute, speakers{"n1": {}, "n2": {Accepts: IDs([]Entry{a}), Down: true}}),
			keys: []string{"key-2 b", "key-1 a"}, since: noon.Add(-10 * time.Minute), done: "1", waiting: []lb.NodeName{"n1", "n2"}, late: true, until: noon.Add(50 * time.Minute), again: 50 * time.Minute},
		{name: "the longest overlap is over: the old key goes, and the speaker without the new one is named", state: both(MaxOverlap, speakers{"n1": accepts(b), "n2": accepts(a)}),
			keys: []string{"key-2 b"}, since: noon.Add(-MaxOverlap), done: "1", waiting: []lb.NodeName{"n2"}, late: true},
		{name: "request during a rotation waits", state: RotationState{Files: files(a, b), Since: noon, Done: "1", Request: "2", Speakers: speakers{"n1": accepts(a)}},
			keys: []string{"key-2 b", "key-1 a"}, done: "1", waiting: []lb.NodeName{"n1"}, until: noon.Add(MaxOverlap), again: MinOverlap},
		{name: "request during a rotation that ends comes next", state: RotationState{Files: files(a, b), Since: noon.Add(-MaxOverlap), Done: "1", Request: "2"},
			keys: []string{"key-2 b"}, since: noon.Add(-MaxOverlap), done: "1", again: time.Second},
		{name: "key edited by hand counts as new: speakers with the former one are waited for", state: RotationState{Files: files(entry(1, "e")), Since: noon, Speakers: speakers{"n1": accepts(a)}},
			keys: []string{"key-1 e"}, waiting: []lb.NodeName{"n1"}, again: ExpectedDelay},
		{name: "age that is unknown counts from now", state: RotationState{Files: files(a, b)}, keys: []string{"key-2 b", "key-1 a"}, until: noon.Add(MaxOverlap), again: MinOverlap},
		{name: "age from the future counts from now", state: RotationState{Files: files(a, b), Since: noon.Add(time.Hour)}, keys: []string{"key-2 b", "key-1 a"}, until: noon.Add(MaxOverlap), again: MinOverlap},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.state.Now = noon
			p := PlanRotation(tt.state, fresh)
			var keys []string
			for _, key := range p.Keys {
				keys = append(keys, EntryName(key.Number)+" "+string(key.Bytes[:1]))
			}
			if diff := cmp.Diff(tt.keys, keys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if tt.since.IsZero() {
				tt.since = noon
			}
			p.Keys = nil
			if diff := cmp.Diff(RotationPlan{Since: tt.since, Done: tt.done, Waiting: tt.waiting, Late: tt.late, Until: tt.until, Again: tt.again}, p); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// bed has speakers that read the Secret at any time, or never, and what the operator stored.
type bed struct {
	RotationPlan
	request string
	now     time.Time
	has     map[lb.NodeName][]Entry
	made    int
}

func (b *bed) decide(t *testing.T) {
	t.Helper()
	speakers := map[lb.NodeName]SpeakerKeys{}
	for node, keys := range b.has {
		speakers[node] = accepts(keys...)
	}
	before := b.RotationPlan
	b.RotationPlan = PlanRotation(RotationState{Files: files(before.Keys...), Since: before.Since, Done: before.Done, Request: b.request, Speakers: speakers, Now: b.now}, func() [KeySize]byte {
		b.made++
		return [KeySize]byte{0: byte(b.made), 1: byte(b.made >> 8), 31: 1}
	})
	if len(b.Keys) == 0 || len(b.Keys) > 2 {
		t.Fatalf("got %d keys, want one or two", len(b.Keys))
	}
	if len(before.Keys) > 0 && !slices.Contains(b.Keys, before.Keys[0]) {
		t.Fatalf("the newest key %v went, left are %v", before.Keys[0], b.Keys)
	}
}

// TestDecide_NoTwoSpeakersWithoutACommonKey has speakers read the Secret in every order, while
// rotations are asked for and the Secret is deleted: any two of them have a key in common at
// all times, as long as each reads the Secret within MaxOverlap or, after it was deleted, RetentionTime.
func TestDecide_NoTwoSpeakersWithoutACommonKey(t *testing.T) {
	for _, tt := range []struct {
		name    string
		step    int           // seconds between two steps, at most
		latest  time.Duration // each speaker reads the Secret as often as that
		deleted int           // one step in so many deletes the Secret; 0: none
	}{
		{name: "rotations", step: 120, latest: MaxOverlap - 5*time.Minute},
		{name: "rotations and deletions", step: 20, latest: 2 * time.Minute, deleted: 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(20) {
				runRotations(t, rand.New(rand.NewPCG(seed, 1)), tt.step, tt.latest, tt.deleted)
			}
		})
	}
}

func runRotations(t *testing.T, chance *rand.Rand, step int, latest time.Duration, deleted int) {
	t.Helper()
	b := &bed{now: noon, has: map[lb.NodeName][]Entry{}}
	b.decide(t)
	read, held, deletion := map[lb.NodeName]time.Time{}, map[lb.NodeName]*AcceptedKeys{}, noon
	nodes := []lb.NodeName{"n1", "n2", "n3", "n4"}
	for _, node := range nodes {
		held[node] = &AcceptedKeys{}
		b.has[node], read[node] = held[node].Update(b.now, b.Keys), b.now
	}
	requests := 0
	for range 400 {
		b.now = b.now.Add(time.Duration(chance.IntN(step)) * time.Second)
		if chance.IntN(10) == 0 {
			requests++
			b.request = string(rune('a' + requests%26))
		}
		if deleted > 0 && chance.IntN(deleted) == 0 && b.now.Sub(deletion) > RetentionTime {
			b.RotationPlan, deletion = RotationPlan{}, b.now
			b.decide(t)
		}
		for _, node := range nodes {
			if chance.IntN(6) == 0 || b.now.Sub(read[node]) > latest {
				b.has[node], read[node] = held[node].Update(b.now, b.Keys), b.now
			}
		}
		b.decide(t)
		for _, x := range nodes {
			for _, y := range nodes {
				if !slices.ContainsFunc(b.has[x], func(k Entry) bool { return slices.ContainsFunc(b.has[y], hasSameBytes(k)) }) {
					t.Fatalf("%s has %v, %s has %v", x, b.has[x], y, b.has[y])
				}
			}
		}
	}
	if b.made < 3 {
		t.Fatalf("got %d keys in %d requests, want rotations to end", b.made, requests)
	}
}
