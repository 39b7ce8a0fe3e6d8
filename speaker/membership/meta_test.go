package membership

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/speaker"
)

func TestLinksAreToldAndUnderstood(t *testing.T) {
	var many []speaker.Link
	for i := range 40 {
		many = append(many, speaker.Link{Name: fmt.Sprintf("veth%010d", i), Internal: true})
	}
	outer := speaker.Link{Name: "eth0"}
	tests := []struct {
		name  string
		links []speaker.Link
		limit int
		want  []speaker.Link
		more  bool
	}{
		{name: "a node without links has none", limit: 512},
		{name: "links are told by name, with those of pods marked", links: []speaker.Link{{Name: "cni0", Internal: true}, outer}, limit: 512,
			want: []speaker.Link{outer, {Name: "cni0", Internal: true}}},
		{name: "what there is no room for is summed up, the network's links come first", links: append(many, outer), limit: 39,
			want: []speaker.Link{outer, many[0]}, more: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			meta := encodeLinks(tt.links, tt.limit)
			if len(meta) > tt.limit {
				t.Errorf("got %d bytes, want at most %d", len(meta), tt.limit)
			}
			got, more := decodeLinks(meta)
			if diff := cmp.Diff(tt.want, got); diff != "" || more != tt.more {
				t.Errorf("links (-want +got), more %v, want %v:\n%s", more, tt.more, diff)
			}
		})
	}
}

func TestAnUnknownVersionMayHaveAnyLink(t *testing.T) {
	for _, meta := range []string{"", "2\neth0"} {
		if links, more := decodeLinks([]byte(meta)); len(links) != 0 || !more {
			t.Errorf("%q: got %v, more %v, want no links that are known, and more", meta, links, more)
		}
	}
}

// What was understood is understood the same way when it is told again.
func FuzzDecodeLinks(f *testing.F) {
	f.Add([]byte("1\neth0\n-cni0\n*"))
	f.Add([]byte("1\n\n--a\n-*"))
	f.Fuzz(func(t *testing.T, meta []byte) {
		links, _ := decodeLinks(meta)
		for _, l := range links {
			if l.Name == "" {
				t.Fatalf("%q has a link without a name: %+v", meta, links)
			}
		}
		again, more := decodeLinks(encodeLinks(links, 2*len(meta)+8))
		if more || len(again) != len(links) {
			t.Fatalf("%q: got %+v, more %v, want the %d links of %+v", meta, again, more, len(links), links)
		}
	})
}
