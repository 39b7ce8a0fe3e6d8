package delta

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func same(x, y int) bool { return x == y }

func TestBetween(t *testing.T) {
	type m = map[string]int
	tests := []struct {
		name            string
		actual, desired m
		want            Changes[string, int]
	}{
		{name: "equal maps differ in nothing", actual: m{"a": 1}, desired: m{"a": 1}, want: Changes[string, int]{Add: m{}, Change: m{}, Remove: m{}}},
		{name: "missing, changed and surplus entries", actual: m{"a": 1, "b": 2, "c": 3}, desired: m{"a": 1, "b": 9, "d": 4},
			want: Changes[string, int]{Add: m{"d": 4}, Change: m{"b": 9}, Remove: m{"c": 3}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Compute(tt.actual, tt.desired, same)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApplyingTheDifferenceGivesTheDesired(t *testing.T) {
	draw := rapid.MapOf(rapid.IntRange(0, 9), rapid.IntRange(0, 2))
	rapid.Check(t, func(t *rapid.T) {
		actual, desired := draw.Draw(t, "actual"), draw.Draw(t, "desired")
		d := Compute(actual, desired, same)
		result := maps.Clone(actual)
		maps.Copy(result, d.Add)
		maps.Copy(result, d.Change)
		for key := range d.Remove {
			delete(result, key)
		}
		if diff := cmp.Diff(desired, result); diff != "" {
			t.Fatalf("after the difference (-want +got):\n%s", diff)
		}
	})
}
