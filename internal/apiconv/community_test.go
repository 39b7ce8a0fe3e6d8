package apiconv

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/routes"
)

func TestParseCommunity(t *testing.T) {
	tests := []struct {
		name, text string
		want       AnyCommunity
		refused    string // part of the error
	}{
		{name: "two numbers", text: "65000:100", want: AnyCommunity{Standard: 65000<<16 | 100}},
		{name: "the smallest numbers", text: "0:0"},
		{name: "the largest numbers", text: "65535:65535", want: AnyCommunity{Standard: 0xFFFFFFFF}},
		{name: "a large one", text: "large:4294967295:0:7", want: AnyCommunity{IsLarge: true, Large: routes.LargeCommunity{Global: 4294967295, Local2: 7}}},
		{name: "graceful shutdown", text: "graceful-shutdown", want: AnyCommunity{Standard: routes.GracefulShutdown}},
		{name: "blackhole", text: "blackhole", want: AnyCommunity{Standard: 65535<<16 | 666}},
		{name: "no-export", text: "no-export", want: AnyCommunity{Standard: 65535<<16 | 65281}},
		{name: "no-peer", text: "no-peer", want: AnyCommunity{Standard: 65535<<16 | 65284}},
		{name: "nothing", text: "", refused: "is not a community: it must be like"},
		{name: "a word", text: "transit", refused: "it must be like"},
		{name: "a number", text: "65000", refused: "it must be like"},
		{name: "three numbers", text: "1:2:3", refused: "it must be like"},
		{name: "another marker", text: "extended:1:2:3", refused: "it must be like"},
		{name: "a number of more than 16 bits", text: "65536:1", refused: `"65536" is not a number from 0 to 65535`},
		{name: "a number of more than 32 bits", text: "large:1:2:4294967296", refused: `"4294967296" is not a number from 0 to 4294967295`},
		{name: "a sign", text: "+1:2", refused: `"+1" is not a number`},
		{name: "a space", text: "1: 2", refused: `" 2" is not a number`},
		{name: "half of one", text: "1:", refused: `"" is not a number`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseCommunity(tt.text)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, %v; want a refusal with %q", got, err, tt.refused)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func FuzzParseCommunity(f *testing.F) {
	for _, seed := range []string{"65000:100", "large:1:2:3", "no-export", "", ":", "large:::", "1:2:3:4", "large:1:2", "00001:2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCommunity(text)
		if err != nil {
			if c != (AnyCommunity{}) || !strings.Contains(err.Error(), "is not a community") {
				t.Errorf("%q: got %v, %v; want nothing and a sentence", text, c, err)
			}
			return
		}
		if again, err := ParseCommunity(c.String()); err != nil || again != c {
			t.Errorf("%q means %s, which means %s, %v", text, c, again, err)
		}
	})
}

func communityObject(name string, age time.Duration, pairs ...string) v1beta1.Community {
	object := v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Time{Time: time.Unix(1e9, 0).Add(-age)}}}
	for i := 0; i < len(pairs); i += 2 {
		object.Spec.Communities = append(object.Spec.Communities, v1beta1.CommunityAlias{Name: pairs[i], Value: v1beta1.CommunityReference(pairs[i+1])})
	}
	return object
}

func TestParseCommunities(t *testing.T) {
	type refusal struct{ Reason, Text string }
	tests := []struct {
		name    string
		objects []v1beta1.Community
		want    map[string]string
		refused map[string]refusal
	}{
		{name: "none", want: map[string]string{}},
		{
			name:    "names of all forms",
			objects: []v1beta1.Community{communityObject("a", 0, "one", "1:2", "big", "large:1:2:3"), communityObject("b", 0, "stay", "no-export")},
			want:    map[string]string{"one": "1:2", "big": "large:1:2:3", "stay": "65535:65281"},
		},
		{
			name:    "the older object has a name that is in two",
			objects: []v1beta1.Community{communityObject("a", time.Hour, "x", "1:1", "y", "1:2"), communityObject("b", 2*time.Hour, "x", "2:2")},
			want:    map[string]string{"x": "2:2", "y": "1:2"},
			refused: map[string]refusal{"a": {v1beta1.ReasonDuplicateAlias, `spec.communities[0]: the name "x" of the Community a is already defined in the Community b, which is older`}},
		},
		{
			name:    "of the same age, the first by name",
			objects: []v1beta1.Community{communityObject("b", 0, "x", "2:2"), communityObject("a", 0, "x", "1:1")},
			want:    map[string]string{"x": "1:1"},
			refused: map[string]refusal{"b": {v1beta1.ReasonDuplicateAlias, `spec.communities[0]: the name "x" of the Community b is already defined in the Community a, which is older`}},
		},
		{
			name:    "a value that is no community takes only its own name away",
			objects: []v1beta1.Community{communityObject("a", 0, "x", "70000:1", "y", "1:2")},
			want:    map[string]string{"y": "1:2"},
			refused: map[string]refusal{"a": {v1beta1.ReasonInvalidCommunity, `spec.communities[0]: "70000:1" is not a community: "70000" is not a number from 0 to 65535`}},
		},
		{
			name:    "a well-known name that means what it means",
			objects: []v1beta1.Community{communityObject("a", 0, "no-advertise", "65535:65282")},
			want:    map[string]string{"no-advertise": "65535:65282"},
		},
		{
			name:    "a well-known name that means something else",
			objects: []v1beta1.Community{communityObject("a", 0, "no-export", "1:2")},
			want:    map[string]string{},
			refused: map[string]refusal{"a": {v1beta1.ReasonInvalidCommunity, `spec.communities[0]: "no-export" is the name of a well-known community and cannot mean 1:2`}},
		},
		{
			name:    "a name twice in one object",
			objects: []v1beta1.Community{communityObject("a", 0, "x", "1:1", "x", "2:2")},
			want:    map[string]string{"x": "1:1"},
			refused: map[string]refusal{"a": {v1beta1.ReasonDuplicateAlias, `spec.communities[1]: the name "x" is defined twice in the Community a`}},
		},
		{
			name:    "a name that looks like a community",
			objects: []v1beta1.Community{communityObject("a", 0, "1:2", "1:1")},
			want:    map[string]string{},
			refused: map[string]refusal{"a": {v1beta1.ReasonInvalidCommunity, `spec.communities[0]: "1:2" cannot be the name of a community`}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			aliases, wrong := ParseCommunities(tt.objects)
			got := map[string]string{}
			for name, value := range aliases {
				got[name] = value.String()
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("names: got %v, want %v", got, tt.want)
			}
			refused := map[string]refusal{}
			for name, err := range wrong {
				refused[name] = refusal{err.Reason, err.Error()}
			}
			if tt.refused == nil {
				tt.refused = map[string]refusal{}
			}
			if diff := cmp.Diff(tt.refused, refused); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
		})
	}
}
