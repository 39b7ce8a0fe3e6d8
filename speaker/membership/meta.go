package membership

import (
	"strings"

	"github.com/lbstack/lbstack/speaker"
)

// metaVersion begins what a speaker tells of itself. Speakers of two versions
// meet while an upgrade rolls: one that does not know the version knows nothing
// of the other's links, and takes it for able.
const metaVersion = "1"

// Marks in what a speaker tells of itself.
const (
	internalMark = "-" // before the name of a link that leads to the node's own pods
	moreMark     = "*" // instead of the links that there is no room for
)

// encodeLinks tells which links a node has, in at most limit bytes: a version
// and the names, with line feeds between them. Links to the network come first;
// those that do not fit are summed up by a mark.
func encodeLinks(links []speaker.Link, limit int) []byte {
	text := metaVersion
	for _, internal := range []bool{false, true} {
		for _, l := range links {
			if l.Internal != internal {
				continue
			}
			line := "\n" + l.Name
			if internal {
				line = "\n" + internalMark + l.Name
			}
			if len(text)+len(line)+len("\n"+moreMark) > limit {
				return []byte(text + "\n" + moreMark)
			}
			text += line
		}
	}
	return []byte(text)
}

// decodeLinks reads what encodeLinks wrote. It comes from the network, though
// only from who has the key: memberlist bounds it (MetaMaxSize).
func decodeLinks(meta []byte) (links []speaker.Link, more bool) {
	version, rest, _ := strings.Cut(string(meta), "\n")
	if version != metaVersion {
		return nil, true
	}
	for name := range strings.SplitSeq(rest, "\n") {
		name, internal := strings.CutPrefix(name, internalMark)
		switch name {
		case "":
		case moreMark:
			more = true
		default:
			links = append(links, speaker.Link{Name: name, Internal: internal})
		}
	}
	return links, more
}
