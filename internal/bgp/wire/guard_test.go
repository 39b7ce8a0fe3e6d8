package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

func TestReader_CodecThatPanics(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind uint8
		want bgp.ErrorCode
	}{{"an OPEN", packet.BGP_MSG_OPEN, bgp.OpenError}, {"another message", packet.BGP_MSG_UPDATE, bgp.HeaderError}} {
		t.Run(tt.name, func(t *testing.T) {
			got := decodeGuarded(tt.kind, []byte{1}, func(_ uint8, body []byte) any { return body[len(body)] })
			if diff := cmp.Diff(session.MalformedMessage{Notification: &bgp.Notification{Code: tt.want}}, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}
