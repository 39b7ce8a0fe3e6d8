// Package checkpoint stores a file on the node with the data that a starting speaker needs while the API
// server does not answer. The data are the last configuration of the cluster, the addresses that the node
// owns, and the addresses of the other speakers. The file has no secret.
package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

const (
	// fileFormat is the version of the file format. A file of another format is not used.
	fileFormat = 1
	// maxFileBytes bounds the bytes that are read of a file.
	maxFileBytes = 64 << 20
	// maxHardwareAddresses bounds the hardware addresses that are stored.
	maxHardwareAddresses = 4096
	// hardwareAddressBytes is the length of a hardware address: all announcements are on Ethernet.
	hardwareAddressBytes = 6
	// writeInterval is the shortest time between two writes: changes that arrive meanwhile are written
	// together.
	writeInterval = 500 * time.Millisecond
	// retryInterval is the time after which a failed write is repeated. If the content changes earlier, it is
	// written earlier.
	retryInterval = 30 * time.Second
)

// Content is the content of a checkpoint.
type Content struct {
	// Checkpoint is the part that the layer 2 engine saves.
	layer2.Checkpoint
	// Peers are the addresses of the other speakers, by node. Empty: there is no other speaker; nil:
	// the other speakers were not known yet.
	Peers map[lb.NodeName]netip.Addr
	// Outside are the addresses, sorted, that may be announced although their pool does not list them any more.
	Outside []netip.Addr
}

// AnnouncedAddresses returns the addresses that a speaker was allowed to announce when the checkpoint was
// written.
func (c Content) AnnouncedAddresses() []netip.Addr {
	list := slices.Clone(c.Outside)
	for _, a := range c.Snapshot.Addresses {
		list = append(list, a.Address)
	}
	return list
}

// Store writes the content to a directory. Make it with Open.
type Store struct {
	// Changed is called, without a lock, when the result of Problem changes. Set it before Run; it may
	// be nil.
	Changed func()

	path string
	log  logr.Logger
	wake chan struct{} // holds one token when something is to be written

	writing sync.Mutex // held for a whole Flush: the file has one writer at a time

	mu      sync.Mutex // guards the fields below
	content Content
	problem error
}

// Open returns the store of a node, whose file is in the given directory, and the stored content. The content
// is empty if the file cannot be read.
func Open(directory string, node lb.NodeName, log logr.Logger) (*Store, Content) {
	s := &Store{path: filepath.Join(directory, "speaker-"+string(node)+".json"), log: log, wake: make(chan struct{}, 1)}
	content, err := readFile(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error(err, "the checkpoint of this node cannot be used: this speaker announces nothing until the API server answers")
	}
	s.content = content
	return s, content
}

// SaveEngine replaces the engine's part of the content. Run writes it soon.
func (s *Store) SaveEngine(k layer2.Checkpoint) {
	s.changeContent(func(c *Content) { c.Checkpoint = k })
}

// SavePeers replaces the addresses of the other speakers. Run writes them soon.
func (s *Store) SavePeers(peers map[lb.NodeName]netip.Addr) {
	s.changeContent(func(c *Content) { c.Peers = peers })
}

// SaveOutsideAddresses replaces Content.Outside. Run writes it soon.
func (s *Store) SaveOutsideAddresses(list []netip.Addr) {
	s.changeContent(func(c *Content) { c.Outside = list })
}

func (s *Store) changeContent(write func(*Content)) {
	s.mu.Lock()
	write(&s.content)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run writes the content after changes until the context ends, and then once more.
func (s *Store) Run(ctx context.Context) {
	for {
		var again <-chan time.Time
		if s.Problem() != nil {
			again = time.After(retryInterval)
		}
		select {
		case <-ctx.Done():
			s.Flush()
			return
		case <-s.wake:
		case <-again:
		}
		s.Flush()
		select {
		case <-ctx.Done():
		case <-time.After(writeInterval):
		}
	}
}

// Problem returns why the last write failed; nil: it did not fail.
func (s *Store) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// Flush writes the content now. A speaker that cannot write continues without a checkpoint, and reports
// that. Any goroutine may call Flush.
func (s *Store) Flush() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	content := s.content
	s.mu.Unlock()
	s.noteResult(writeFile(s.path, content))
}

// noteResult records the result of a write. A repeated failure is logged once.
func (s *Store) noteResult(err error) {
	s.mu.Lock()
	before := s.problem
	s.problem = err
	s.mu.Unlock()
	if errorText(before) == errorText(err) {
		return
	}
	if err != nil {
		s.log.Error(err, "the checkpoint is not written: a speaker that starts on this node while the API server does not answer announces nothing")
	}
	if s.Changed != nil {
		s.Changed()
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// fileContent is the format of the file. Addresses refer to their candidates by index, since many addresses
// have the same candidates.
type fileContent struct {
	Format     int                        `json:"format"`
	Peers      map[lb.NodeName]netip.Addr `json:"peers,omitzero"`
	Claims     ownership.Claims           `json:"claims,omitempty"`
	Held       []netip.Addr               `json:"held,omitempty"`
	Outside    []netip.Addr               `json:"outside,omitempty"`
	Ours       []net.HardwareAddr         `json:"ours,omitempty"`
	Draining   map[lb.NodeName]bool       `json:"draining,omitempty"`
	Detection  layer2.Detection           `json:"detection,omitempty"`
	Candidates [][]layer2.Candidate       `json:"candidates,omitempty"`
	Addresses  []fileAddress              `json:"addresses,omitempty"`
}

type fileAddress struct {
	Address    netip.Addr `json:"address"`
	Candidates int        `json:"candidates"`
}

// candidateList identifies a slice of candidates that several addresses share.
type candidateList struct {
	first *layer2.Candidate
	count int
}

func writeFile(path string, c Content) error {
	f := fileContent{Format: fileFormat, Peers: c.Peers, Claims: c.Claims, Draining: c.Snapshot.Draining, Detection: c.Snapshot.Detection, Held: c.Held, Outside: c.Outside, Ours: c.Ours[:min(len(c.Ours), maxHardwareAddresses)]}
	numbers := map[candidateList]int{}
	for _, a := range c.Snapshot.Addresses {
		if len(a.Candidates) == 0 {
			f.Addresses = append(f.Addresses, fileAddress{a.Address, -1})
			continue
		}
		key := candidateList{&a.Candidates[0], len(a.Candidates)}
		number, known := numbers[key]
		if !known {
			number = len(f.Candidates)
			numbers[key] = number
			f.Candidates = append(f.Candidates, a.Candidates)
		}
		f.Addresses = append(f.Addresses, fileAddress{a.Address, number})
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encoding the checkpoint: %w", err)
	}
	if err := replaceFile(path, text); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	return nil
}

// replaceFile writes a file atomically: after a power cut the file has either the old or the new text.
func replaceFile(path string, text []byte) error {
	out, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func readFile(path string) (Content, error) {
	in, err := os.Open(path)
	if err != nil {
		return Content{}, fmt.Errorf("reading the checkpoint: %w", err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxFileBytes))
	if err != nil {
		return Content{}, fmt.Errorf("reading %s: %w", path, err)
	}
	content, err := decodeFile(text)
	if err != nil {
		return Content{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return content, nil
}

func decodeFile(text []byte) (Content, error) {
	var f fileContent
	if err := json.Unmarshal(text, &f); err != nil {
		return Content{}, err
	}
	if f.Format != fileFormat {
		return Content{}, fmt.Errorf("the file has format %d, and this version reads only format %d", f.Format, fileFormat)
	}
	c := Content{Peers: f.Peers, Outside: f.Outside, Checkpoint: layer2.Checkpoint{Claims: f.Claims, Held: f.Held, Snapshot: layer2.Snapshot{Draining: f.Draining, Detection: f.Detection}}}
	for _, hardware := range f.Ours[:min(len(f.Ours), maxHardwareAddresses)] {
		if len(hardware) != hardwareAddressBytes {
			return Content{}, fmt.Errorf("a hardware address in the file has %d bytes instead of %d", len(hardware), hardwareAddressBytes)
		}
		c.Ours = append(c.Ours, hardware)
	}
	for _, a := range f.Addresses {
		announced := layer2.AnnouncedAddress{Address: a.Address}
		if !a.Address.IsValid() {
			return Content{}, errors.New("an address in the file is empty")
		}
		if a.Candidates >= len(f.Candidates) {
			return Content{}, fmt.Errorf("the nodes that may announce the address %s are missing in the file", a.Address)
		}
		if a.Candidates >= 0 {
			announced.Candidates = f.Candidates[a.Candidates]
		}
		c.Snapshot.Addresses = append(c.Snapshot.Addresses, announced)
	}
	return c, nil
}
