package bgp

// ResettingFields returns the names of the BGPPeer fields that have changed and require a new session.
// Such fields take effect only when a session begins.
func ResettingFields(from, to Peer) []string {
	fields := []struct {
		name string
		same bool
	}{
		{"myASN or localASN", from.ASN == to.ASN}, {"peerASN or dynamicASN", from.Remote == to.Remote},
		{"peerAddress", from.Address == to.Address}, {"interface", from.Interface == to.Interface}, {"peerPort", from.Port == to.Port},
		{"sourceAddress", from.Source == to.Source}, {"routerID", from.RouterID == to.RouterID}, {"vrf", from.VRF == to.VRF},
		{"holdTimeSeconds", from.Hold == to.Hold}, {"keepaliveTimeSeconds", from.Keepalive == to.Keepalive},
		{"ebgpMultiHop", from.Multihop == to.Multihop}, {"ttlSecurityHops", from.SecurityHops == to.SecurityHops},
		{"passiveMode", from.Passive == to.Passive}, {"gracefulRestart", from.RestartTime == to.RestartTime},
		{"dualStackAddressFamily", from.DualStack == to.DualStack},
		{"passwordSecret", (from.Password == "") == (to.Password == "")},
	}
	var changed []string
	for _, f := range fields {
		if !f.same {
			changed = append(changed, f.name)
		}
	}
	return changed
}
