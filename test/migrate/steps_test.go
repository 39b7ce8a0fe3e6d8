package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/test/scenario"
	"github.com/lbstack/lbstack/test/traffic"
)

// steps has the output of the command, line by line. A line that is not indented begins a step.
type steps struct {
	since time.Time
	lines []line
	// printed is called with each line; nil: nothing is.
	printed func(string)
}

type line struct {
	at   time.Time
	text string
}

// Write expects whole lines: the command writes each line at once.
func (s *steps) Write(text []byte) (int, error) {
	for part := range strings.Lines(string(text)) {
		s.lines = append(s.lines, line{time.Now(), strings.TrimSuffix(part, "\n")})
		if s.printed != nil {
			s.printed(strings.TrimSuffix(part, "\n"))
		}
	}
	return len(text), nil
}

// String returns each line with the seconds since the start of the command.
func (s *steps) String() string {
	var b strings.Builder
	for _, l := range s.lines {
		fmt.Fprintf(&b, "%6.2f %s\n", l.at.Sub(s.since).Seconds(), l.text)
	}
	return b.String()
}

// at returns the step that ran at a time, and the beginning of that step.
func (s *steps) at(t time.Time) (step string, begun time.Time) {
	step, begun = "before the first step", s.since
	for _, l := range s.lines {
		if !strings.HasPrefix(l.text, " ") && !l.at.After(t) {
			step, begun = l.text, l.at
		}
	}
	return step, begun
}

// found counts events of one step. first and last are the times of the first and last one after the beginning of the step.
type found struct {
	n           int
	first, last time.Duration
	most        time.Duration // the duration of the longest event
	where       string        // the address of the longest event
}

func (f *found) add(after, took time.Duration, where string) {
	if f.n == 0 {
		f.first = after
	}
	f.n, f.first, f.last = f.n+1, min(f.first, after), max(f.last, after)
	if took > f.most {
		f.most, f.where = took, where
	}
}

// lost lists the failed connections by step and error.
func (s *steps) lost(attempts []traffic.Attempt) string {
	return s.list(func(add func(what string, at time.Time, took time.Duration, where string)) {
		for _, a := range attempts {
			_, why, _ := strings.Cut(a.Why, ": ") // after the address
			add(why, a.Begun, a.Ended.Sub(a.Begun), "")
		}
	}, "%d connections begun %s to %s after its begin, which took %s at most%s")
}

// noticed is the least time without answers for which silent lists an address.
const noticed = 100 * time.Millisecond

// silent lists the addresses for which nobody answered, by step and by the node that answered before.
func (s *steps) silent(answers map[string]scenario.Answers) string {
	return s.list(func(add func(what string, at time.Time, took time.Duration, where string)) {
		for address, a := range answers {
			if a.Silent >= noticed {
				add("after "+cmp.Or(a.SilentAfter, "nobody"), a.SilentSince, a.Silent, " ("+address+")")
			}
		}
	}, "%d addresses from %s to %s after its begin, for %s at most%s")
}

// list calls all, which adds events, and returns a line for each step and kind of event, in the order of the steps.
func (s *steps) list(all func(add func(what string, at time.Time, took time.Duration, where string)), format string) string {
	type key struct {
		begun      time.Time
		step, what string
	}
	by := map[key]*found{}
	all(func(what string, at time.Time, took time.Duration, where string) {
		step, begun := s.at(at)
		k := key{begun, step, what}
		if by[k] == nil {
			by[k] = &found{}
		}
		by[k].add(at.Sub(begun), took, where)
	})
	var b strings.Builder
	order := func(x, y key) int { return cmp.Or(x.begun.Compare(y.begun), cmp.Compare(x.what, y.what)) }
	for _, k := range slices.SortedFunc(maps.Keys(by), order) {
		f := by[k]
		fmt.Fprintf(&b, "\n  %.2f %s: %s: "+format, k.begun.Sub(s.since).Seconds(), k.step, k.what, f.n, short(f.first), short(f.last), short(f.most), f.where)
	}
	return b.String()
}

func short(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
