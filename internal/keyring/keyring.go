// Package keyring parses the keys that encrypt the messages between speakers. The keys are the entries
// of a Secret that the operator writes and that the kubelet mounts as a folder into each speaker. The
// package opens no file. The operator and the speakers call it. It also decides when keys are added and
// removed (PlanRotation), and how long a speaker accepts a removed key (AcceptedKeys).
//
// An entry has the name key-N, where N is a decimal number from 1 on, and 32 bytes. The entry with the
// highest number is the newest key.
package keyring

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	// KeySize is the number of bytes of a key.
	KeySize = 32
	// MaxKeys is how many keys are accepted at once. The operator writes at most two; an administrator
	// may have added more.
	MaxKeys = 4
	// maxEntryNumber bounds the number of an entry, so that a higher number always exists.
	maxEntryNumber = 1<<53 - 1

	namePrefix = "key-"
)

// ErrNoKey means that there is no valid entry.
var ErrNoKey = errors.New("there is no valid key")

// Entry is one key. Its formatted forms show its number and ID, never the key.
type Entry struct {
	// Number of the entry; a newer key has a higher number.
	Number uint64
	// Bytes is the key.
	Bytes [KeySize]byte
	// ID is public: 8 hexadecimal digits of a hash of the key.
	ID string
}

// EntryName returns the name of the entry with a number.
func EntryName(number uint64) string { return namePrefix + strconv.FormatUint(number, 10) }

// NewEntry makes an entry.
func NewEntry(number uint64, key [KeySize]byte) Entry {
	sum := sha256.Sum256(append([]byte("lbstack mesh key ID\n"), key[:]...))
	return Entry{Number: number, Bytes: key, ID: hex.EncodeToString(sum[:4])}
}

// Parse returns the valid keys of a Secret or a folder, the newest first, at most MaxKeys. The error
// names every entry that is ignored, and wraps ErrNoKey if there is no valid key; both results can be
// set. Entries whose names begin with ".." belong to the kubelet, and are skipped.
func Parse(files map[string][]byte) ([]Entry, error) {
	var keys []Entry
	var ignored []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(name, "..") {
			continue
		}
		entry, err := parseEntry(name, files[name])
		if err != nil {
			ignored = append(ignored, fmt.Errorf("the entry %q: %w", name, err))
			continue
		}
		keys = append(keys, entry)
	}
	slices.SortFunc(keys, func(x, y Entry) int { return cmp.Compare(y.Number, x.Number) })
	keys, again := distinctKeys(keys)
	ignored = append(ignored, again...)
	if len(keys) == 0 {
		ignored = append(ignored, ErrNoKey)
	}
	return keys, errors.Join(ignored...)
}

func parseEntry(name string, content []byte) (Entry, error) {
	digits, isKey := strings.CutPrefix(name, namePrefix)
	number, err := strconv.ParseUint(digits, 10, 64)
	if !isKey || err != nil || number == 0 || number > maxEntryNumber || EntryName(number) != name {
		return Entry{}, errors.New("its name does not have the form key-1, key-2 and so on")
	}
	if len(content) != KeySize {
		return Entry{}, fmt.Errorf("it has %d bytes instead of %d", len(content), KeySize)
	}
	if [KeySize]byte(content) == [KeySize]byte{} {
		return Entry{}, errors.New("all its bytes are zero")
	}
	return NewEntry(number, [KeySize]byte(content)), nil
}

// distinctKeys removes keys that a newer entry also has, and the oldest keys beyond MaxKeys.
func distinctKeys(keys []Entry) (left []Entry, ignored []error) {
	for _, key := range keys {
		newer := slices.IndexFunc(left, func(k Entry) bool { return k.Bytes == key.Bytes })
		switch {
		case newer >= 0:
			ignored = append(ignored, fmt.Errorf("the entry %q: the newer entry %q has the same key", EntryName(key.Number), EntryName(left[newer].Number)))
		case len(left) == MaxKeys:
			ignored = append(ignored, fmt.Errorf("the entry %q: only the %d newest keys are used", EntryName(key.Number), MaxKeys))
		default:
			left = append(left, key)
		}
	}
	return left, ignored
}

// IDs returns the IDs of keys, in the same order.
func IDs(keys []Entry) []string {
	ids := make([]string, 0, len(keys))
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return ids
}

// Format implements fmt.Formatter for every verb.
func (e Entry) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte(EntryName(e.Number) + " (" + e.ID + ")"))
}

// MarshalText implements encoding.TextMarshaler: for loggers and encoders.
func (e Entry) MarshalText() ([]byte, error) { return fmt.Append(nil, e), nil }
