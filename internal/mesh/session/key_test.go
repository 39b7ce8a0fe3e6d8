package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

func TestParseKey_RefusesOtherSizes(t *testing.T) {
	for _, size := range []int{0, 16, KeySize - 1, KeySize + 1} {
		secret := bytes.Repeat([]byte{'s'}, size)
		_, err := ParseKey(secret)
		if err == nil || strings.Contains(err.Error(), "ss") {
			t.Errorf("%d bytes: got error %v, want one without the key", size, err)
		}
	}
}

func TestKey_IsNeverShown(t *testing.T) {
	secret := bytes.Repeat([]byte{'s'}, KeySize)
	k, err := ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	type config struct {
		Key    Key
		hidden Key
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{k, &k, config{k, k}, []Key{k}} {
			got := fmt.Sprintf(verb, value)
			for _, bad := range []string{"sss", "737373", "115 115", fmt.Sprintf("%x", k.derived().cipher[:8]), fmt.Sprint(k.derived().cipher[:4])} {
				if strings.Contains(got, strings.Trim(bad, "[]")) {
					t.Errorf("%s of %T shows %q", verb, value, got)
				}
			}
		}
	}
	got, err := json.Marshal(config{Key: k})
	if want := `{"Key":"hidden"}`; err != nil || string(got) != want {
		t.Errorf("JSON is %s, %v, want %s", got, err, want)
	}
}

// A datagram can be read by anybody who has the key and XChaCha20-Poly1305.
func TestSeal_IsXChaCha20Poly1305(t *testing.T) {
	k := key(t, 1)
	b := newBed(t, []Key{k}, "alpha", "b")
	b.run(confirmed)
	datagram, ok := b.tables["alpha"].Seal("b", []byte("message"))
	if !ok {
		t.Fatal("no session")
	}
	aead, err := chacha20poly1305.NewX(k.derived().cipher[:])
	if err != nil {
		t.Fatal(err)
	}
	header, receiver := datagram[:headerSize], instance(2)
	bound := append(append(append([]byte{}, header...), receiver[:]...), "\x00\x05alphab"...)
	got, err := aead.Open(nil, header[5:], datagram[headerSize:], bound)
	if err != nil || string(got) != "message" {
		t.Errorf("got %q, %v, want the message", got, err)
	}
}
