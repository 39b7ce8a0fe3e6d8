package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func content(char string) []byte { return bytes.Repeat([]byte(char), KeySize) }

func entry(number uint64, char string) Entry { return NewEntry(number, [KeySize]byte(content(char))) }

func TestParse(t *testing.T) {
	tests := []struct {
		name  string
		files map[string][]byte
		want  []Entry
		err   []string // parts of the error; none: it is nil
	}{
		{name: "nothing has no key", err: []string{ErrNoKey.Error()}},
		{name: "one key", files: map[string][]byte{"key-1": content("a")}, want: []Entry{entry(1, "a")}},
		{name: "newest first, by number and not by text", files: map[string][]byte{"key-9": content("a"), "key-10": content("b")},
			want: []Entry{entry(10, "b"), entry(9, "a")}},
		{name: "names of the kubelet are ignored", files: map[string][]byte{"..data": nil, "..2026_11_29": nil, "key-1": content("a")}, want: []Entry{entry(1, "a")}},
		{name: "damaged entry leaves the other", files: map[string][]byte{"key-1": content("a"), "key-2": []byte("short")},
			want: []Entry{entry(1, "a")}, err: []string{`the entry "key-2": it has 5 bytes instead of 32`}},
		{name: "only damaged entries have no key", files: map[string][]byte{"key-1": append(content("a"), 'a')},
			err: []string{`the entry "key-1": it has 33 bytes`, ErrNoKey.Error()}},
		{name: "key of zeros is refused", files: map[string][]byte{"key-1": make([]byte, KeySize)}, err: []string{"all its bytes are zero"}},
		{name: "other names are refused", files: map[string][]byte{
			"secretkey": content("a"), "key-0": content("b"), "key-01": content("c"), "key-": content("d"), "key-+1": content("e"), "key-99999999999999999999": content("f"), "key-9007199254740992": content("h"), "KEY-1": content("g"),
		}, err: []string{`"secretkey": its name`, `"key-0": its name`, `"key-01": its name`, `"key-": its name`, `"key-+1": its name`, `"key-99999999999999999999": its name`, `"key-9007199254740992": its name`, `"KEY-1": its name`}},
		{name: "same key twice counts once, as the newer", files: map[string][]byte{"key-1": content("a"), "key-2": content("a")},
			want: []Entry{entry(2, "a")}, err: []string{`the entry "key-1": the newer entry "key-2" has the same key`}},
		{name: "more than four keys leave the newest", files: map[string][]byte{
			"key-1": content("a"), "key-2": content("b"), "key-3": content("c"), "key-4": content("d"), "key-5": content("e"),
		}, want: []Entry{entry(5, "e"), entry(4, "d"), entry(3, "c"), entry(2, "b")}, err: []string{`the entry "key-1": only the 4 newest keys are used`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.files)
			if diff := cmp.Diff(names(tt.want), names(got)); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			for i := range min(len(got), len(tt.want)) {
				if got[i] != tt.want[i] {
					t.Errorf("got another key as %v", got[i])
				}
			}
			if (err == nil) != (len(tt.err) == 0) {
				t.Errorf("got the error %v, want %q", err, tt.err)
			}
			for _, part := range tt.err {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("got the error %v, want it to have %q", err, part)
				}
			}
			if errors.Is(err, ErrNoKey) != (len(tt.want) == 0) {
				t.Errorf("got the error %v, want ErrNoKey", err)
			}
		})
	}
}

func names(keys []Entry) []string {
	list := []string{}
	for _, key := range keys {
		list = append(list, fmt.Sprint(key))
	}
	return list
}

func TestEntry_NeverShown(t *testing.T) {
	key := entry(7, "s")
	text, err := json.Marshal(map[string]any{"keys": []Entry{key}})
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{string(text)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, key), fmt.Sprintf(verb, &key), fmt.Sprintf(verb, []Entry{key}), fmt.Sprintf(verb, map[string]Entry{"a": key}))
	}
	for _, text := range shown {
		for _, secret := range []string{"sss", "737373", "115", "0x73"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows the key", text)
			}
		}
		if !strings.Contains(text, "key-7") && !strings.Contains(text, "0x") {
			t.Errorf("%q does not name the entry", text)
		}
	}
}

func TestNew_IDsDiffer(t *testing.T) {
	ids := IDs([]Entry{entry(1, "a"), entry(1, "b"), entry(2, "a")})
	if len(ids[0]) != 8 || ids[0] == ids[1] || ids[0] != ids[2] {
		t.Errorf("got %q, want 8 digits that depend on the key alone", ids)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("key-1", content("a"), "key-2", content("b"))
	f.Add("..data", []byte{}, "key-18446744073709551615", content("b"))
	f.Fuzz(func(t *testing.T, name1 string, content1 []byte, name2 string, content2 []byte) {
		keys, err := Parse(map[string][]byte{name1: content1, name2: content2})
		if errors.Is(err, ErrNoKey) != (len(keys) == 0) {
			t.Errorf("got %d keys and the error %v", len(keys), err)
		}
		for i, key := range keys {
			if i > 0 && keys[i-1].Number <= key.Number {
				t.Errorf("got %v before %v", keys[i-1], key)
			}
			if in := map[string][]byte{name1: content1, name2: content2}[EntryName(key.Number)]; !bytes.Equal(in, key.Bytes[:]) {
				t.Errorf("%v is not what the entry has", key)
			}
		}
	})
}
