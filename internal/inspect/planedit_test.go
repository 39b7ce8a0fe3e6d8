package inspect

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEdit_Apply(t *testing.T) {
	const spec = `{"ipAddressPools":[{"name":"a","addresses":["192.0.2.1"],"autoAssign":false},{"name":"b"}],"l2Advertisements":[{"name":"x"},{"name":"y"}],"bgpAdvertisements":[{"name":"x"}]}`
	for _, tt := range []struct {
		name string
		edit Edit
		want string // a part of the spec, or of the error
		err  bool
	}{
		{"a field of a pool", Edit{Kind: "pool", Name: "a", Patch: []byte(`{"addresses":["192.0.2.2"]}`)}, `[{"addresses":["192.0.2.2"],"autoAssign":false,"name":"a"},{"name":"b"}]`, false},
		{"a field is taken away", Edit{Kind: "pools", Name: "a", Patch: []byte(`{"autoAssign":null}`)}, `[{"addresses":["192.0.2.1"],"name":"a"},{"name":"b"}]`, false},
		{"removal", Edit{Kind: "IPAddressPool", Name: "a", Remove: true}, `"ipAddressPools":[{"name":"b"}]`, false},
		{"an item is added", Edit{Kind: "peer", Name: "tor", Patch: []byte(`{"myASN":64512}`)}, `"bgpPeers":[{"myASN":64512,"name":"tor"}]`, false},
		{"an advertisement of the one kind that has it", Edit{Kind: "advertisement", Name: "y", Remove: true}, `"l2Advertisements":[{"name":"x"}]`, false},
		{"an advertisement of a kind", Edit{Kind: "bgpadvertisement", Name: "x", Remove: true}, `"bgpAdvertisements":[]`, false},
		{"an advertisement that both kinds have", Edit{Kind: "advertisement", Name: "x", Remove: true}, "use the type l2advertisement or bgpadvertisement", true},
		{"a new advertisement of no kind", Edit{Kind: "advertisement", Name: "z", Patch: []byte(`{}`)}, "use the type l2advertisement or bgpadvertisement", true},
		{"removal of what is not there", Edit{Kind: "pool", Name: "c", Remove: true}, "the stack has no item c in spec.ipAddressPools", true},
		{"a kind that is none", Edit{Kind: "service", Name: "a", Remove: true}, `"service" is not a type of item`, true},
		{"a patch of another form", Edit{Kind: "pool", Name: "a", Patch: []byte(`[`)}, "not a valid merge patch", true},
		{"a patch that makes no object", Edit{Kind: "pool", Name: "a", Patch: []byte(`3`)}, "the patch", true},
		{"a patch of the name", Edit{Kind: "pool", Name: "a", Patch: []byte(`{"name":"c"}`)}, "changes the name", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, same map[string]any
			for _, to := range []*map[string]any{&before, &same} {
				if err := json.Unmarshal([]byte(spec), to); err != nil {
					t.Fatal(err)
				}
			}
			after, err := tt.edit.Apply(before)
			text, _ := json.Marshal(after)
			got := string(text)
			if err != nil {
				got = err.Error()
			}
			if (err != nil) != tt.err || !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if diff := cmp.Diff(same, before); diff != "" {
				t.Errorf("the spec that was passed has changed (-before +after):\n%s", diff)
			}
		})
	}
}
