package arpwatch

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAnswersOfAWatch(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	// from answers every 20 ms, both ends included.
	from := func(mac string, first, last int) (list []answer) {
		for ms := first; ms <= last; ms += 20 {
			list = append(list, answer{at(ms), mac})
		}
		return list
	}
	merge := func(lists ...[]answer) (all []answer) {
		for ms := range 1000 {
			for _, list := range lists {
				for _, a := range list {
					if a.at.Equal(at(ms)) {
						all = append(all, a)
					}
				}
			}
		}
		return all
	}
	for _, tt := range []struct {
		name string
		list []answer
		want Answers
	}{
		{"nobody", nil, Answers{Silent: time.Second}},
		{"one all the time", from("a", 0, 1000), Answers{Owners: []string{"a"}, Last: "a", Silent: 20 * time.Millisecond}},
		{"one until it dies", from("a", 0, 400), Answers{Owners: []string{"a"}, Last: "a", Silent: 600 * time.Millisecond}},
		{"one after the other", merge(from("a", 0, 400), from("b", 700, 980)), Answers{Owners: []string{"a", "b"}, Last: "b", Silent: 300 * time.Millisecond}},
		{"two for a while", merge(from("a", 0, 400), from("b", 310, 990)), Answers{Owners: []string{"a", "b"}, Last: "b", Silent: 20 * time.Millisecond, Both: 90 * time.Millisecond}},
		{"two in turn", merge(from("a", 0, 200), from("b", 210, 490), from("a", 500, 980)), Answers{Owners: []string{"a", "b"}, Last: "a", Silent: 20 * time.Millisecond}},
		{"one within the time of the other", merge(from("a", 0, 980), from("b", 310, 390)), Answers{Owners: []string{"a", "b"}, Last: "a", Silent: 20 * time.Millisecond, Both: 80 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := summarize(tt.list, start, at(1000))
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Answers{}, "SilentSince", "SilentAfter")); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			since := got.SilentSince.Add(got.Silent)
			if since != at(1000) && !slices.ContainsFunc(tt.list, func(a answer) bool { return a.at.Equal(since) }) {
				t.Errorf("nobody answered for %s since %s, and no answer ends that", got.Silent, got.SilentSince)
			}
		})
	}
}
