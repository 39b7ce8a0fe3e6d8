package membership

import (
	"bytes"
	"testing"
)

func sealing(t testing.TB, fill byte) sealer {
	t.Helper()
	s, err := newSealer(bytes.Repeat([]byte{fill}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestADatagramIsReadWithTheKeyOnly(t *testing.T) {
	s, message := sealing(t, 1), []byte("a beat")
	datagram := s.seal(message, false)
	if bytes.Contains(datagram, message) || !isSealed(datagram) {
		t.Errorf("the datagram is %x, want the message encrypted behind the marker", datagram)
	}
	if again := s.seal(message, false); bytes.Equal(again, datagram) {
		t.Error("the same message makes the same datagram twice")
	}
	if got, err := s.open(bytes.Clone(datagram)); err != nil || !bytes.Equal(got, message) {
		t.Errorf("got %q, %v, want %q", got, err, message)
	}
	if got, err := sealing(t, 2).open(bytes.Clone(datagram)); err == nil {
		t.Errorf("with another key it is read as %q", got)
	}
	for i := range datagram {
		forged := bytes.Clone(datagram)
		forged[i] ^= 1
		if got, err := s.open(forged); err == nil {
			t.Errorf("with another byte %d it is read as %q", i, got)
		}
		if got, err := s.open(bytes.Clone(datagram[:i])); err == nil {
			t.Errorf("the first %d bytes are read as %q", i, got)
		}
	}
}

func FuzzDatagram(f *testing.F) {
	s := sealing(f, 1)
	f.Add(s.seal([]byte("a beat"), true))
	f.Add(s.seal([]byte("news"), false))
	f.Add([]byte{marker})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		message, err := s.open(bytes.Clone(datagram))
		if err == nil && len(message)+1+24+16 != len(datagram) {
			t.Errorf("%x was read as %x", datagram, message)
		}
	})
}
