package retry_test

import (
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/controllers/retry"
)

func TestLimiter(t *testing.T) {
	var one, two reconcile.Request
	one.Name, two.Name = "one", "two"
	var l retry.Limiter
	between := func(what string, got, least, most time.Duration) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s: got %v, want %v to %v", what, got, least, most)
		}
	}
	between("the first failure", l.When(one), 37*time.Millisecond, 50*time.Millisecond)
	between("the second failure", l.When(one), 75*time.Millisecond, 100*time.Millisecond)
	between("the first failure of another request", l.When(two), 37*time.Millisecond, 50*time.Millisecond)
	for range 100 {
		l.When(one)
	}
	between("the hundred and third failure", l.When(one), 7500*time.Millisecond, 10*time.Second)
	if got := l.NumRequeues(one); got != 103 {
		t.Errorf("failures: got %d, want 103", got)
	}
	l.Forget(one)
	between("the first failure after a success", l.When(one), 37*time.Millisecond, 50*time.Millisecond)
}

// fight has another writer undo each write after some time, and returns when the
// controller restored.
func fight(r *retry.RestoreLimiter[string], undoes time.Duration, rounds int) (writes []time.Duration) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	for range rounds {
		u := r.Compare("a", "wanted", false, now)
		for u.Wait > 0 {
			now = now.Add(u.Wait)
			u = r.Compare("a", "wanted", false, now)
		}
		r.NoteWrite("a", "wanted")
		writes = append(writes, now.Sub(start))
		now = now.Add(undoes)
	}
	return writes
}

func TestRestoresBackOff(t *testing.T) {
	var r retry.RestoreLimiter[string]
	r.Compare("a", "wanted", false, time.Time{})
	r.NoteWrite("a", "wanted")
	writes := fight(&r, 200*time.Millisecond, 40)
	if writes[0] != 0 {
		t.Errorf("first: got restored after %v, want at once", writes[0])
	}
	gaps := []time.Duration{}
	for i := range writes[1:] {
		gaps = append(gaps, writes[i+1]-writes[i])
	}
	if longest := slices.Max(gaps); longest > 10*time.Second+200*time.Millisecond {
		t.Errorf("longest gap: got %v, want at most 10.2s", longest)
	}
	if last := gaps[len(gaps)-1]; last < 7*time.Second {
		t.Errorf("last gap: got %v, want at least 7s", last)
	}
	if minute := slices.IndexFunc(writes, func(d time.Duration) bool { return d > time.Minute }); minute > 16 {
		t.Errorf("in the first minute: got %d writes, want at most 16", minute)
	}
}

func TestRestores(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type step struct {
		after  time.Duration
		wanted string
		there  bool
		wrote  bool
		now    bool // it is undone
		waits  bool
		counts bool // the disagreement counts
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"the first write restores nothing", []step{{wanted: "x", wrote: true}}},
		{"a write that failed was not undone", []step{{wanted: "x"}, {wanted: "x", wrote: true}, {wanted: "x", there: true}}},
		{"a write that is undone once is restored at once, and no disagreement", []step{{wanted: "x", wrote: true}, {wanted: "x", wrote: true, now: true}, {wanted: "x", there: true}}},
		{"what was found to be right is restored at once", []step{{wanted: "x", there: true}, {wanted: "x", wrote: true, now: true}}},
		{"a second time waits, and is a disagreement", []step{{wanted: "x", there: true}, {wanted: "x", wrote: true, now: true}, {wanted: "x", now: true, waits: true, counts: true},
			{after: time.Second, wanted: "x", now: true, wrote: true, counts: true}}},
		{"a look while it waits does not wait for longer", []step{{wanted: "x", there: true}, {wanted: "x", wrote: true, now: true}, {wanted: "x", now: true, waits: true, counts: true},
			{wanted: "x", now: true, waits: true, counts: true}, {after: 50 * time.Millisecond, wanted: "x", now: true, wrote: true, counts: true}}},
		{"what is wanted newly does not wait", []step{{wanted: "x", there: true}, {wanted: "x", wrote: true, now: true}, {wanted: "x", now: true, waits: true, counts: true}, {wanted: "y", wrote: true, counts: true}}},
		{"calm makes the next time the first", []step{{wanted: "x", there: true}, {wanted: "x", wrote: true, now: true}, {after: retry.CalmPeriod, wanted: "x", there: true}, {wanted: "x", wrote: true, now: true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r retry.RestoreLimiter[int]
			now := start
			for i, s := range tt.steps {
				now = now.Add(s.after)
				u := r.Compare(7, s.wanted, s.there, now)
				_, calm := r.Disagreement(7, now)
				if u.Is != s.now || (u.Wait > 0) != s.waits || (calm > 0) != s.counts {
					t.Errorf("step %d: got %+v, disagreement for %v, want undone %v, wait %v, counted %v", i, u, calm, s.now, s.waits, s.counts)
				}
				if s.wrote {
					r.NoteWrite(7, s.wanted)
				}
			}
		})
	}
}

func TestWhoUndidIt(t *testing.T) {
	var r retry.RestoreLimiter[int]
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 2 {
		r.Compare(1, "x", true, at)
		r.Compare(1, "x", false, at)
	}
	r.SetOverwriter(1, "kubectl-patch")
	for _, tt := range []struct {
		after time.Duration
		by    string
		calm  time.Duration
	}{{0, "kubectl-patch", retry.CalmPeriod}, {retry.CalmPeriod - 1, "kubectl-patch", 1}, {retry.CalmPeriod, "", 0}} {
		if by, calm := r.Disagreement(1, at.Add(tt.after)); by != tt.by || calm != tt.calm {
			t.Errorf("after %v: got %q for %v, want %q for %v", tt.after, by, calm, tt.by, tt.calm)
		}
	}
	for range 2 {
		r.Compare(1, "x", true, at)
		r.Compare(1, "x", false, at)
	}
	r.Forget(1)
	if _, calm := r.Disagreement(1, at); calm != 0 {
		t.Errorf("after Forget: got a disagreement for %v, want none", calm)
	}
}

// Calm objects are forgotten, so that objects which never come again cost no memory. An object that
// is not calm still waits.
func TestRestores_ForgetsThoseThatAreCalm(t *testing.T) {
	var r retry.RestoreLimiter[int]
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	undo := func(key int) retry.UndoneWrite {
		u := r.Compare(key, "x", false, now)
		if u.Wait == 0 {
			r.NoteWrite(key, "x")
		}
		return u
	}
	for key := range 10000 {
		undo(key)
		now = now.Add(time.Second)
		undo(-1)
	}
	if u := undo(-1); u.Wait == 0 {
		t.Error("the one that is undone all the time: got no wait, want one")
	}
	if got := r.Len(); got > 1024 {
		t.Errorf("got %d objects, want at most 1024", got)
	}
}
