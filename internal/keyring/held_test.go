package keyring

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHeld(t *testing.T) {
	type read struct {
		at     time.Duration // since the first
		folder string        // first characters of the keys, the newest first
		want   string
	}
	tests := []struct {
		name  string
		reads []read
	}{
		{name: "no keys yet", reads: []read{{0, "", ""}, {0, "a", "a"}}},
		{name: "rotation: a key that is removed is not accepted any more", reads: []read{{0, "a", "a"}, {0, "ba", "ba"}, {0, "b", "b"}}},
		{name: "empty folder changes nothing", reads: []read{{0, "ba", "ba"}, {0, "", "ba"}, {time.Hour, "", "ba"}}},
		{name: "replaced Secret: the keys before stay for a while", reads: []read{
			{0, "ba", "ba"}, {time.Second, "c", "cba"}, {2 * time.Second, "c", "cba"}, {RetentionTime, "c", "cba"}, {RetentionTime + time.Second, "c", "c"}}},
		{name: "expired keys go also while the folder is empty", reads: []read{{0, "a", "a"}, {0, "b", "ba"}, {RetentionTime, "", "b"}}},
		{name: "rotation after the Secret was replaced does not end the time", reads: []read{{0, "a", "a"}, {0, "b", "ba"}, {time.Second, "cb", "cba"}, {time.Minute, "c", "ca"}, {RetentionTime, "c", "c"}}},
		{name: "Secret replaced twice: each key before stays for its own time", reads: []read{
			{0, "a", "a"}, {0, "b", "ba"}, {time.Minute, "c", "cba"}, {RetentionTime - 1, "c", "cba"}, {RetentionTime, "c", "cb"}, {RetentionTime + time.Minute, "c", "c"}}},
		{name: "Secret replaced again and again: the oldest key beyond four goes", reads: []read{
			{0, "a", "a"}, {1, "b", "ba"}, {2, "c", "cba"}, {3, "d", "dcba"}, {4, "e", "edcb"}, {RetentionTime + 3, "e", "ed"}, {RetentionTime + 4, "e", "e"}}},
		{name: "replaced while a rotation is under way", reads: []read{{0, "ba", "ba"}, {0, "c", "cba"}, {time.Minute, "d", "dcba"}, {RetentionTime, "d", "dc"}}},
		{name: "Secret that is put back and replaced again: its key has the later time", reads: []read{
			{0, "a", "a"}, {0, "b", "ba"}, {time.Minute, "a", "ab"}, {2 * time.Minute, "c", "cab"}, {RetentionTime + time.Minute, "c", "ca"}, {RetentionTime + 2*time.Minute, "c", "c"}}},
		{name: "former key that comes back is accepted once", reads: []read{{0, "a", "a"}, {0, "b", "ba"}, {0, "ab", "ab"}}},
		{name: "four keys at most, the newest", reads: []read{{0, "abc", "abc"}, {0, "de", "deab"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h AcceptedKeys
			for i, r := range tt.reads {
				var folder []Entry
				for _, char := range r.folder {
					folder = append(folder, entry(1, string(char)))
				}
				got := ""
				for _, key := range h.Update(noon.Add(r.at), folder) {
					got += string(key.Bytes[:1])
				}
				if diff := cmp.Diff(r.want, got); diff != "" {
					t.Errorf("read %d: keys (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}
