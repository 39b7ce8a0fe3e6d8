package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
)

// TestMigrate_ThereAndBack: at no time do both announce from a node, or on the local network, and MetalLB's workloads are as
// they were at the end.
func TestMigrate_ThereAndBack(t *testing.T) {
	for _, tt := range []struct {
		name, stack, at, forth, back string
		host                         string // from which both announce during the rollback
	}{
		{"on the local network", switchedStack, "", `1 Services keep their 1 addresses. The steps:
1. stop MetalLB's controller (Deployment metallb-system/controller); MetalLB's speakers keep running
2. apply the stack without advertisements and BGPPeers: lbstack claims the addresses in the status of Services, and its speakers start
3. end MetalLB's speakers on all nodes (DaemonSet metallb-system/speaker), and have lbstack announce from all nodes
In the last step, no node answers for addresses of the local network for some seconds: MetalLB does not report which node announces Service shop/web (MetalLB before 0.14.2 has no ServiceL2Status).
`, `1. have lbstack announce all addresses of the local network from node node-1
2. on node node-1, start MetalLB's speaker; once MetalLB announces the addresses as well, end lbstack's announcements on the local network
3. start MetalLB's speakers on all other nodes (DaemonSet metallb-system/speaker)
4. restore`, "node-1"},
		{"on the local network, from a node that is known", switchedStack, "node-2", `3. have lbstack announce the addresses of the local network as well, each from the same node as MetalLB
4. end MetalLB's speakers on all nodes (DaemonSet metallb-system/speaker), and have lbstack announce from all nodes
`, "1. have lbstack announce all", "node-1"},
		{"and to routers, from the last node", routedStack, "node-3", `5. have lbstack announce the addresses of the local network as well`, "1. have lbstack announce all addresses of the local network from node node-3", "node-3"},
		{"and to routers", routedStack, "", `3. on node node-1, end MetalLB's speaker, and have lbstack announce routes to routers
4. on node node-2, end MetalLB's speaker, and have lbstack announce routes to routers
5. end MetalLB's speakers on all other nodes`, `2. on node node-3, end lbstack's sessions with routers, and start MetalLB's speaker; once MetalLB announces the addresses as well, end lbstack's announcements on the local network
3. on node node-2,`, "node-3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := stackFile(t, tt.stack)
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				s.report(tt.at)
				before := s.workloads()
				slug := strings.NewReplacer(" ", "-", ",", "").Replace(tt.name)
				s.golden("migrate --dry-run -f "+file, "migrate-"+slug+".txt")
				if after := s.workloads(); after != before {
					t.Fatalf("a dry run changed MetalLB:\n%s\nto\n%s", before, after)
				}
				s.begin()
				s.runs("migrate -f "+file, tt.forth, "lbstack announces the addresses")
				s.runs("migrate -f "+file, "lbstack announces the addresses") // again: it is done
				time.Sleep(1500 * time.Millisecond)                           // lbstack announces from node-1 when no claim asks for a node
				s.hosts = nil
				s.golden("migrate --rollback --dry-run", "rollback-"+slug+".txt")
				s.runs("migrate --rollback", tt.back, "MetalLB announces the addresses, as before")
				if diff := cmp.Diff([]string{tt.host}, s.hosts); diff != "" {
					t.Errorf("nodes from which both announced (-want +got):\n%s", diff)
				}
				s.unchanged(before)
				s.apart()
			})
		})
	}
}

// TestMigrate_GoesOnWhereItEnded: a session that does not begin ends the switch, while MetalLB serves the nodes that have not
// moved. The same command goes on once it does, and so does a rollback.
func TestMigrate_GoesOnWhereItEnded(t *testing.T) {
	file := stackFile(t, routedStack)
	for _, then := range []string{"migrate -f " + file, "migrate --rollback"} {
		t.Run(then[:18], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				before := s.workloads()
				s.stuck = "node-2"
				s.begin()
				_, errOut, err := execute(t.Context(), s.cluster, "migrate --timeout 20s -f "+file)
				const want = "node node-2: lbstack has sessions with routers: not done within 20s: the session of node node-2 with BGPPeer tor-1 is Active: refused: correct this, and run the command again to continue, or go back to MetalLB with kubectl lbstack migrate --rollback"
				if err == nil || err.Error() != want {
					t.Fatalf("got the error %v, want %s\n%s", err, want, errOut)
				}
				s.stuck = ""
				least := []string{"node-1", "node-2"}
				s.patched = func(set *appsv1.DaemonSet) {
					left, stopped := cutover.SwitchProgress(set)
					if !stopped && len(left) < len(least) && !strings.HasSuffix(then, "rollback") {
						t.Errorf("the DaemonSet leaves out %q, and left out %q before", left, least)
					}
				}
				s.runs(then)
				if strings.HasSuffix(then, "rollback") {
					s.unchanged(before)
				}
				s.apart()
			})
		})
	}
}

// TestMigrate_PoolsRememberMetalLB: the stack announced while MetalLB's speakers ran, and its pools still hold their addresses back.
func TestMigrate_PoolsRememberMetalLB(t *testing.T) {
	file := stackFile(t, switchedStack)
	synctest.Test(t, func(t *testing.T) {
		s := switchingBed(t)
		s.held = true
		pools := &v1beta1.IPAddressPoolList{}
		s.must(s.api.List(t.Context(), pools))
		for i := range pools.Items {
			pools.Items[i].Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonForeignHost}}
			s.must(s.api.Update(t.Context(), &pools.Items[i]))
		}
		s.begin()
		s.runs("migrate -f "+file, "lbstack announces the addresses")
	})
}

// TestMigrate_DoesNotEndWhileNobodyAnswers: on the local network, an interrupt and an API server that does not answer for a while
// do not end the command between the end of the one and the begin of the other.
func TestMigrate_DoesNotEndWhileNobodyAnswers(t *testing.T) {
	file := stackFile(t, switchedStack)
	synctest.Test(t, func(t *testing.T) {
		s := switchingBed(t)
		s.begin()
		run, interrupt := context.WithCancel(t.Context())
		s.patched = func(*appsv1.DaemonSet) {
			s.away = time.Now().Add(10 * time.Second)
			interrupt()
		}
		if _, errOut, err := execute(run, s.cluster, "migrate -f "+file); err == nil || !strings.HasPrefix(err.Error(), "lbstack announces the Services: interrupted") || !strings.Contains(errOut, "connection refused: the command tries again") {
			t.Errorf("forth: got the error %v, want an interrupt at the end\n%s", err, errOut)
		}
		s.patched = func(*appsv1.DaemonSet) {}
		s.runs("migrate -f "+file, "lbstack announces the addresses")
		run, interrupt = context.WithCancel(t.Context())
		s.applied = func(bool) {
			s.away = time.Now().Add(10 * time.Second)
			interrupt()
		}
		_, errOut, err := execute(run, s.cluster, "migrate --rollback")
		set := &appsv1.DaemonSet{}
		s.must(s.api.Get(t.Context(), client.ObjectKey{Namespace: "metallb-system", Name: "speaker"}, set))
		if _, stopped := cutover.SwitchProgress(set); err == nil || stopped {
			t.Errorf("back: got the error %v, want an interrupt once MetalLB's speakers run\n%s", err, errOut)
		}
		s.applied = func(bool) {}
		s.runs("migrate --rollback", "MetalLB announces the addresses, as before")
		s.apart()
	})
}

// TestMigrate_AnnouncesBeforeMetalLBEnds: an address is announced from the same node as MetalLB before MetalLB's speakers end,
// and no node is asked for afterwards. Where lbstack does not announce it from there, it announces nothing until they have ended.
func TestMigrate_AnnouncesBeforeMetalLBEnds(t *testing.T) {
	for _, tt := range []struct {
		name, stack, at string
		fixed           bool
		moves           bool   // MetalLB announces from another node a second after lbstack has begun
		owned           string // when MetalLB's speakers end, the node that announces the address
	}{
		{"from the same node", switchedStack, "node-2", false, false, "node-2"},
		{"not from another one", switchedStack, "node-2", true, false, ""},
		{"not from another one, and to routers", routedStack, "node-2", true, false, ""},
		{"not from one that may not", switchedStack, "node-9", false, false, ""},
		{"not where MetalLB has left", switchedStack, "node-2", false, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := stackFile(t, tt.stack)
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				s.report(tt.at)
				s.fixed = tt.fixed
				s.begin()
				var moves sync.Once
				s.applied = func(l2 bool) {
					if l2 && tt.moves {
						moves.Do(func() { go s.moveReport(context.WithValue(t.Context(), actor{}, true), time.Second, "node-3") })
					}
				}
				owned := "nobody has ended them"
				s.patched = func(set *appsv1.DaemonSet) {
					if _, stopped := cutover.SwitchProgress(set); stopped {
						owned = s.owner()
					}
				}
				s.runs("migrate -f "+file, "lbstack announces the addresses")
				if owned != tt.owned {
					t.Errorf("MetalLB's speakers end while node %q announces, want %q", owned, tt.owned)
				}
				claim := &v1beta1.IPAddressClaim{}
				s.must(s.api.Get(t.Context(), client.ObjectKey{Name: "192.0.2.1"}, claim))
				if len(claim.Annotations) > 0 {
					t.Errorf("the claim has %v after the switch", claim.Annotations)
				}
			})
		})
	}
}

// TestMigrate_GoesOnWhereBothAnnounced: an interrupt while both announce from one node leaves them so, and the same command or a
// rollback goes on.
func TestMigrate_GoesOnWhereBothAnnounced(t *testing.T) {
	file := stackFile(t, switchedStack)
	for _, then := range []string{"migrate -f " + file, "migrate --rollback"} {
		t.Run(then[:18], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				s.report("node-2")
				before := s.workloads()
				s.begin()
				run, interrupt := context.WithCancel(t.Context())
				s.applied = func(l2 bool) {
					if l2 {
						time.AfterFunc(time.Second, interrupt)
					}
				}
				if _, _, err := execute(run, s.cluster, "migrate -f "+file); err == nil || !strings.Contains(err.Error(), "from the same nodes as MetalLB: interrupted") {
					t.Fatalf("got the error %v, want an interrupt", err)
				}
				time.Sleep(time.Minute)
				if s.owner() != "node-2" {
					t.Errorf("node %q announces the address, want node-2", s.owner())
				}
				s.applied = func(bool) {}
				s.runs(then)
				if strings.HasSuffix(then, "rollback") {
					s.unchanged(before)
				}
				s.apart()
			})
		})
	}
}

// TestMigrate_BackWithoutAHost: if lbstack cannot announce from one node, it ends before MetalLB's speakers start, and no claim
// asks for a node then.
func TestMigrate_BackWithoutAHost(t *testing.T) {
	file := stackFile(t, routedStack)
	for _, tt := range []struct {
		name   string
		change func(*switching)
		want   string
	}{
		{"that it moves to", func(s *switching) { s.fixed = true }, "in the next step, no node answers for addresses of the local network for some seconds: lbstack does not announce 192.0.2.1 from node node-3"},
		{"whose hostname is its own", func(s *switching) {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-4", Labels: map[string]string{corev1.LabelHostname: "node-1"}}}
			s.must(s.api.Create(s.t.Context(), node))
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				s.begin()
				s.runs("migrate -f " + file)
				tt.change(s)
				asked := false
				s.applied = func(bool) {
					claim := &v1beta1.IPAddressClaim{}
					s.must(s.api.Get(context.WithValue(t.Context(), actor{}, true), client.ObjectKey{Name: "192.0.2.1"}, claim))
					asked = asked || len(claim.Annotations) > 0
				}
				_, errOut, err := execute(t.Context(), s.cluster, "migrate --rollback")
				if err != nil || !strings.Contains(errOut, tt.want) {
					t.Errorf("got the error %v and\n%s\nwant %q", err, errOut, tt.want)
				}
				if asked || len(s.hosts) > 0 || len(s.together) > 0 {
					t.Errorf("when the stack changed, the claim asked for a node: %v; both announced from %q, and otherwise %q; want none", asked, s.hosts, s.together)
				}
			})
		})
	}
}

// TestMigrate_ForthAfterAnInterruptedRollback: what the rollback has changed of the stack does not stay.
func TestMigrate_ForthAfterAnInterruptedRollback(t *testing.T) {
	file := stackFile(t, routedStack)
	synctest.Test(t, func(t *testing.T) {
		s := switchingBed(t)
		s.begin()
		s.runs("migrate -f " + file)
		run, interrupt := context.WithCancel(t.Context())
		s.patched = func(*appsv1.DaemonSet) { interrupt() }
		if _, _, err := execute(run, s.cluster, "migrate --rollback"); err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Fatalf("got the error %v, want an interrupt", err)
		}
		s.patched = func(*appsv1.DaemonSet) {}
		s.runs("migrate -f "+file, "lbstack announces the addresses")
		stack := &v1beta1.LoadBalancerStack{}
		s.must(s.api.Get(t.Context(), client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack))
		if peer := stack.Spec.BGPPeers[0]; len(peer.NodeSelectors) > 0 || stack.Spec.Removal.Addresses == v1beta1.AddressesHandOver {
			t.Errorf("the stack has nodeSelectors %v and removal.addresses %q of the rollback", peer.NodeSelectors, stack.Spec.Removal.Addresses)
		}
		s.apart()
	})
}

// TestMigrate_GivesMetalLBTimeToLeave: its pods are deleted with a grace period of the command's before the DaemonSet, which has
// another one, would delete them. The last ones have a short one: a speaker that blocks takes over the addresses of the others.
func TestMigrate_GivesMetalLBTimeToLeave(t *testing.T) {
	for _, stack := range []string{switchedStack, routedStack} {
		file := stackFile(t, stack)
		synctest.Test(t, func(t *testing.T) {
			s := switchingBed(t)
			s.begin()
			s.patched = func(set *appsv1.DaemonSet) {
				left, stopped := cutover.SwitchProgress(set)
				for _, node := range []string{"node-1", "node-2", "node-3"} {
					grace, has := s.grace["speaker-"+node]
					if want := graceOf(node, stack); (stopped || slices.Contains(left, node)) && grace != want {
						t.Errorf("the DaemonSet leaves out %s, whose pod had %d s to end (deleted: %v), want %d", node, grace, has, want)
					}
				}
			}
			s.runs("migrate -f " + file)
			if len(s.grace) != 3 {
				t.Errorf("%d pods had time to end, want 3", len(s.grace))
			}
		})
	}
}

// graceOf returns the grace period of MetalLB's speaker on a node. With routes, only that of node-3 ends with the last ones.
func graceOf(node, stack string) int64 {
	if stack == routedStack && node != "node-3" {
		return cutover.GracePeriod
	}
	return cutover.LastGracePeriod
}

// TestMigrate_WaitsForMetalLBsSpeakers, that have nothing to do: before each node moves, and before the last ones end. What has
// prevented that both announce since the begin is not waited for.
func TestMigrate_WaitsForMetalLBsSpeakers(t *testing.T) {
	for _, tt := range []struct {
		name, stack, at string
		changes         time.Duration // MetalLB reports another node so long after lbstack has been applied first
		most            time.Duration // that a node waits for
	}{
		{"on the local network", switchedStack, "node-2", 0, 0},
		{"on the local network, from a node that is not known", switchedStack, "", 0, 0},
		{"and to routers", routedStack, "node-3", 0, quietTime + joinTimeout},
		{"that change what they announce", routedStack, "node-3", 4 * time.Second, quietTime + joinTimeout},
		{"that announce from a node that is not lbstack's", routedStack, "node-9", 0, quietTime + 5*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := stackFile(t, tt.stack)
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				s.report(tt.at)
				s.begin()
				var changed time.Time
				var first sync.Once
				s.applied = func(bool) {
					first.Do(func() {
						if tt.changes > 0 {
							go s.moveReport(context.WithValue(t.Context(), actor{}, true), tt.changes, "node-2")
							changed = time.Now().Add(tt.changes)
						}
					})
					if time.Now().After(changed) {
						changed = time.Now()
					}
				}
				left := 0
				s.patched = func(set *appsv1.DaemonSet) {
					now, stopped := cutover.SwitchProgress(set)
					if len(now) == left && !stopped {
						return
					}
					left = len(now)
					if waited := time.Since(changed); waited < quietTime || !stopped && waited > tt.most {
						t.Errorf("MetalLB's speakers had %s without a change before %d nodes are left out (all: %v), want at least %s and at most %s", waited, left, stopped, quietTime, tt.most)
					}
				}
				s.runs("migrate -f " + file)
			})
		})
	}
}

// TestMigrate_GivesPodsThatAreMadeAgainTimeToLeave: a DaemonSet replaces a pod as soon as it has ended, and deletes the new one with
// the grace period of its template.
func TestMigrate_GivesPodsThatAreMadeAgainTimeToLeave(t *testing.T) {
	for _, stack := range []string{switchedStack, routedStack} {
		file := stackFile(t, stack)
		synctest.Test(t, func(t *testing.T) {
			s := switchingBed(t)
			s.hasty = true
			s.begin()
			again := 0
			s.patched = func(set *appsv1.DaemonSet) {
				pods := &corev1.PodList{}
				s.must(s.api.List(context.WithValue(t.Context(), actor{}, true), pods, client.InNamespace("metallb-system")))
				left, stopped := cutover.SwitchProgress(set)
				for _, pod := range pods.Items {
					if !stopped && !slices.Contains(left, pod.Spec.NodeName) {
						continue
					}
					again++
					if grace := pod.Spec.TerminationGracePeriodSeconds; grace == nil || *grace != cutover.GracePeriod {
						t.Errorf("the DaemonSet leaves out node %s, whose new pod has not %d s to end", pod.Spec.NodeName, cutover.GracePeriod)
					}
				}
			}
			s.runs("migrate -f " + file)
			if again != 3 {
				t.Errorf("%d pods were made again, want 3", again)
			}
		})
	}
}

// TestMigrate_EndsWhereAnotherRunGoesOn, before it undoes what that one has done.
func TestMigrate_EndsWhereAnotherRunGoesOn(t *testing.T) {
	file := stackFile(t, routedStack)
	synctest.Test(t, func(t *testing.T) {
		s := switchingBed(t)
		s.begin()
		other := context.WithValue(t.Context(), actor{}, true)
		s.patched = func(set *appsv1.DaemonSet) {
			s.patched = func(*appsv1.DaemonSet) {}
			stopped, err := cutover.StopSpeakers(set)
			s.must(err)
			s.must(s.api.Patch(other, stopped, client.MergeFrom(set)))
		}
		if _, _, err := execute(t.Context(), s.cluster, "migrate -f "+file); err == nil || !strings.Contains(err.Error(), "somebody else runs kubectl lbstack migrate") {
			t.Errorf("got the error %v, want one about another run", err)
		}
		set := &appsv1.DaemonSet{}
		s.must(s.api.Get(other, client.ObjectKey{Namespace: "metallb-system", Name: "speaker"}, set))
		if _, stopped := cutover.SwitchProgress(set); !stopped {
			t.Error("what the other run wrote was undone")
		}
		if len(s.grace) > 0 {
			t.Errorf("pods of MetalLB were deleted after it: %v", s.grace)
		}
	})
}

// TestMigrate_LooksForAnotherRunBeforeItEndsSpeakers: one that goes back while this one waits in the last step gets MetalLB's speakers
// again, and this one does not end them, and applies nothing.
func TestMigrate_LooksForAnotherRunBeforeItEndsSpeakers(t *testing.T) {
	file := stackFile(t, switchedStack)
	for _, tt := range []struct {
		name string
		step string // in which the other one goes back
	}{
		{"while both announce", "applied"},
		{"before the claims change", "patched"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				s.report("node-2")
				s.begin()
				other := context.WithValue(t.Context(), actor{}, true)
				applies := 0
				back := func() {
					set := &appsv1.DaemonSet{}
					s.must(s.api.Get(other, client.ObjectKey{Namespace: "metallb-system", Name: "speaker"}, set))
					restored, err := cutover.RestoreSpeakers(set)
					s.must(err)
					s.must(s.api.Patch(other, restored, client.MergeFrom(set)))
				}
				s.applied = func(l2 bool) {
					if applies++; l2 && tt.step == "applied" {
						back()
					}
				}
				s.patched = func(*appsv1.DaemonSet) {
					if s.patched = func(*appsv1.DaemonSet) {}; tt.step == "patched" {
						back()
						applies = 0
					}
				}
				if _, _, err := execute(t.Context(), s.cluster, "migrate -f "+file); err == nil || !strings.Contains(err.Error(), "somebody else runs kubectl lbstack migrate") {
					t.Errorf("got the error %v, want one about another run", err)
				}
				if len(s.grace) > 0 {
					t.Errorf("pods of MetalLB were deleted: %v", s.grace)
				}
				if tt.step == "patched" && applies > 0 {
					t.Errorf("the stack was applied %d times", applies)
				}
				claim := &v1beta1.IPAddressClaim{}
				s.must(s.api.Get(other, client.ObjectKey{Name: "192.0.2.1"}, claim))
				if tt.step == "patched" && len(claim.Annotations) > 0 {
					t.Errorf("the claim has %v", claim.Annotations)
				}
			})
		})
	}
}

// TestMigrate_NamesMissingSpeakerOrAnnouncement, and ends with an error.
func TestMigrate_NamesMissingSpeakerOrAnnouncement(t *testing.T) {
	file := stackFile(t, switchedStack)
	for _, tt := range []struct {
		name    string
		change  func(*switching)
		want    string
		changed bool // MetalLB's speakers have ended
	}{
		{"a node without a speaker", func(s *switching) { s.bare = "node-3" }, "not done within 20s: node node-3 has a speaker of MetalLB and none of lbstack", false},
		{"a Service that is not announced", func(s *switching) {
			s.report("node-2")
			svc := &corev1.Service{}
			s.must(s.api.Get(s.t.Context(), client.ObjectKey{Namespace: "shop", Name: "web"}, svc))
			svc.Status.Conditions = []metav1.Condition{{Type: v1beta1.ServiceAnnounced, Status: metav1.ConditionFalse, Reason: "NoNode", Message: "no node may"}}
			s.must(s.api.Status().Update(s.t.Context(), svc))
		}, "lbstack announces the Services: not done within 20s: Service shop/web is not announced (NoNode): no node may", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				tt.change(s)
				s.begin()
				changed := false
				s.patched = func(*appsv1.DaemonSet) { changed = true }
				if _, _, err := execute(t.Context(), s.cluster, "migrate --timeout 20s -f "+file); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got the error %v, want %s", err, tt.want)
				}
				if changed != tt.changed {
					t.Errorf("MetalLB's speakers were changed: %v, want %v", changed, tt.changed)
				}
				claim := &v1beta1.IPAddressClaim{}
				s.must(s.api.Get(t.Context(), client.ObjectKey{Name: "192.0.2.1"}, claim))
				if len(claim.Annotations) > 0 {
					t.Errorf("the claim has %v after the error", claim.Annotations)
				}
			})
		})
	}
}

// TestMigrate_NamesARightThatIsMissing before it writes anything, and in a dry run.
func TestMigrate_NamesARightThatIsMissing(t *testing.T) {
	file := stackFile(t, switchedStack)
	for _, tt := range []struct{ line, forbidden string }{
		{"migrate -f " + file, "patch *v1.Deployment"},
		{"migrate -f " + file, "patch *v1.DaemonSet"},
		{"migrate -f " + file, "patch *v1beta1.IPAddressClaim"},
		{"migrate -f " + file, "delete *v1.Pod"},
		{"migrate --rollback", "patch *v1.Deployment"},
		{"migrate --rollback", "patch *v1.DaemonSet"},
		{"migrate --rollback", "patch *v1beta1.IPAddressClaim"},
		{"migrate --rollback", "delete *v1beta1.LoadBalancerStack"},
		{"migrate --rollback", "delete *v1.Pod"},
		{"migrate --rollback", "get log"},
	} {
		for _, line := range []string{tt.line + " --timeout 1s", tt.line + " --dry-run"} {
			t.Run(fmt.Sprintf("%.12s, %s, %v", tt.line, tt.forbidden, strings.HasSuffix(line, "run")), func(t *testing.T) {
				s := switchingBed(t)
				s.forbidden = tt.forbidden
				if strings.HasSuffix(tt.line, "rollback") {
					s.showIPv6()
				}
				s.patched = func(*appsv1.DaemonSet) { t.Error("MetalLB's DaemonSet was changed") }
				s.applied = func(bool) { t.Error("the stack was applied") }
				before := s.workloads()
				if _, _, err := execute(t.Context(), s.cluster, line); err == nil || !strings.Contains(err.Error(), "you lack a right: "+tt.forbidden) {
					t.Errorf("got the error %v, want one about the right to %s", err, tt.forbidden)
				}
				s.unchanged(before)
			})
		}
	}
}

// TestMigrate_BackNeedsNoRightForOtherLoadBalancers: these do not matter to a rollback.
func TestMigrate_BackNeedsNoRightForOtherLoadBalancers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := switchingBed(t)
		s.begin()
		s.runs("migrate -f " + stackFile(t, switchedStack))
		s.api = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			_, pods := list.(*corev1.PodList)
			all := (&client.ListOptions{}).ApplyOptions(options)
			if pods && all.Namespace == staticPodNamespace || strings.HasPrefix(list.GetObjectKind().GroupVersionKind().Kind, "CiliumLoadBalancerIPPool") {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "pods of kube-system, and ciliumloadbalancerippools"}, "", nil)
			}
			return c.List(ctx, list, options...)
		}})
		s.runs("migrate --rollback --dry-run")
		if _, _, err := execute(t.Context(), s.cluster, "migrate --dry-run -f "+stackFile(t, switchedStack)); err == nil || !strings.Contains(err.Error(), "you lack a right: ") {
			t.Errorf("forth: got the error %v, want one about the right", err)
		}
	})
}

func TestMigrate_IsRefused(t *testing.T) {
	for _, tt := range []struct{ name, line, err string }{
		{"with an object beside the stack", "migrate -f " + stackFile(t, switchedStack) + " mine", "L2Advertisement mine does not belong to the stack"},
		{"back, with an object beside the stack", "migrate --rollback mine", "L2Advertisement mine does not belong to the stack"},
		{"back, with an address that MetalLB does not have", "migrate --rollback with other pools", "the rollback cannot begin:\n- Service shop/web has 192.0.2.1 in its status, and no address pool of MetalLB contains this address"},
		{"without a stack", "migrate", "pass either the stack with -f or --rollback"},
		{"with both", "migrate --rollback -f stack.yaml", "pass either the stack with -f or --rollback"},
		{"without time", "migrate --rollback --timeout 1ms", "use at least 1s"},
		{"where an address would change", "migrate -f " + stackFile(t, strings.ReplaceAll(switchedStack, "192.0.2.1-", "192.0.2.2-")), "the switch cannot begin:\n- Service shop/web has 192.0.2.1 in its status, and would have 192.0.2.2"},
		{"without advertisements", "migrate -f " + stackFile(t, switchedStack[:strings.Index(switchedStack, "  l2")]), "the switch cannot begin:\n- the stack announces nothing"},
		{"in the namespace of no MetalLB", "migrate --rollback -n default", "the rollback cannot begin:\n- the cluster has 0 Deployments of MetalLB's controller"},
		{"paused", "migrate -f " + stackFile(t, strings.ReplaceAll(switchedStack, "{name: default}", "{name: default, annotations: {lbstack.io/pause: work}}")), "the annotation lbstack.io/pause is set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := switchingBed(t)
			line, namespace, has := strings.Cut(tt.line, " -n ")
			if has {
				s.flags.Namespace = &namespace
			}
			if line, has = strings.CutSuffix(line, " mine"); has {
				s.must(s.api.Create(t.Context(), &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}))
			}
			if line, has = strings.CutSuffix(line, " with other pools"); has {
				pool := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"addresses": []any{"192.0.2.2-192.0.2.9"}}}}
				pool.SetGroupVersionKind(schema.GroupVersionKind{Group: "metallb.io", Version: "v1beta1", Kind: "IPAddressPool"})
				pool.SetNamespace("metallb-system")
				pool.SetName("lan")
				s.must(s.api.Create(t.Context(), pool))
			}
			before := s.workloads()
			if _, _, err := execute(t.Context(), s.cluster, line); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got the error %v, want %q", err, tt.err)
			}
			s.unchanged(before)
		})
	}
}

// TestMigrate_BackKeepsAStackThatWasNotSwitchedTo: MetalLB and lbstack can serve different classes beside each other.
func TestMigrate_BackKeepsAStackThatWasNotSwitchedTo(t *testing.T) {
	for _, class := range []string{"", "example.com/lb"} {
		t.Run("class "+class, func(t *testing.T) {
			s := switchingBed(t)
			s.must(s.api.Create(t.Context(), &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}, Spec: v1beta1.LoadBalancerStackSpec{LoadBalancerClass: class}}))
			before := s.workloads()
			for _, line := range []string{"migrate --rollback --dry-run", "migrate --rollback"} {
				if _, _, err := execute(t.Context(), s.cluster, line); err == nil || !strings.Contains(err.Error(), "the rollback cannot begin:\n- no switch from MetalLB was made") {
					t.Errorf("%s: got the error %v, want one that no switch was made", line, err)
				}
			}
			s.unchanged(before)
			s.must(s.api.Get(t.Context(), client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, &v1beta1.LoadBalancerStack{}))
		})
	}
}

// TestMigrate_FindsAnotherMetalLB: with -n as well, a MetalLB that runs in another namespace would go on announcing.
func TestMigrate_FindsAnotherMetalLB(t *testing.T) {
	for _, tt := range []struct {
		name  string
		nodes int32 // on which the speakers in the other namespace are to run
		class string
		want  string // a part of the error; empty: none
	}{
		{"that runs", 3, "", "the switch cannot begin:\n- MetalLB also runs in another namespace (DaemonSet other/speaker)"},
		{"that serves another class", 3, "example.com/other", ""},
		{"that has no pods", 0, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := switchingBed(t)
			other := &appsv1.DaemonSet{}
			s.must(s.api.Get(t.Context(), client.ObjectKey{Namespace: "metallb-system", Name: "speaker"}, other))
			other.ObjectMeta = metav1.ObjectMeta{Namespace: "other", Name: "speaker"}
			other.Status.DesiredNumberScheduled = tt.nodes
			if tt.class != "" {
				other.Spec.Template.Spec.Containers[0].Args = []string{"--lb-class=" + tt.class}
			}
			s.must(s.api.Create(t.Context(), other))
			s.flags.Namespace = new("metallb-system")
			_, _, err := execute(t.Context(), s.cluster, "migrate --dry-run -f "+stackFile(t, switchedStack))
			if got := errorText(err); (tt.want == "") != (err == nil) || !strings.Contains(got, tt.want) {
				t.Errorf("got the error %q, want %q", got, tt.want)
			}
		})
	}
}

// TestMigrate_FRRK8s: MetalLB's chart installs it also where MetalLB has no routers.
func TestMigrate_FRRK8s(t *testing.T) {
	for _, tt := range []struct {
		name, routers string
		want          string // a part of the error; empty: none
	}{
		{"without sessions", "", ""},
		{"with sessions", "metallb-node-1", "FRRConfiguration metallb-system/metallb-node-1 has sessions of MetalLB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := switchingBed(t)
			set := &appsv1.DaemonSet{}
			s.must(s.api.Get(t.Context(), client.ObjectKey{Namespace: "metallb-system", Name: "speaker"}, set))
			set.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "METALLB_BGP_TYPE", Value: "frr-k8s"}}
			s.must(s.api.Update(t.Context(), set))
			if tt.routers != "" {
				object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"nodeSelector": map[string]any{"matchLabels": map[string]any{corev1.LabelHostname: "node-1"}}, "bgp": map[string]any{"routers": []any{map[string]any{"asn": int64(64512)}}}}}}
				object.SetGroupVersionKind(schema.GroupVersionKind{Group: "frrk8s.metallb.io", Version: "v1beta1", Kind: "FRRConfiguration"})
				object.SetNamespace("metallb-system")
				object.SetName(tt.routers)
				s.must(s.api.Create(t.Context(), object))
			}
			_, _, err := execute(t.Context(), s.cluster, "migrate --dry-run -f "+stackFile(t, switchedStack))
			if got := errorText(err); (tt.want == "") != (err == nil) || !strings.Contains(got, tt.want) {
				t.Errorf("got the error %q, want %q", got, tt.want)
			}
		})
	}
}

// TestMigrate_BackGoesOnAtItsLastStep: MetalLB's workloads show nothing of the switch any more, and the stack that is to be deleted does.
func TestMigrate_BackGoesOnAtItsLastStep(t *testing.T) {
	file := stackFile(t, switchedStack)
	synctest.Test(t, func(t *testing.T) {
		s := switchingBed(t)
		before := s.workloads()
		s.begin()
		s.runs("migrate -f " + file)
		ctx := context.WithValue(t.Context(), actor{}, true)
		set, controller, stack := &appsv1.DaemonSet{}, &appsv1.Deployment{}, &unstructured.Unstructured{}
		stack.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
		s.must(s.api.Get(ctx, client.ObjectKey{Namespace: "metallb-system", Name: "speaker"}, set))
		restored, err := cutover.RestoreSpeakers(set)
		s.must(err)
		s.must(s.api.Patch(ctx, restored, client.MergeFrom(set)))
		s.must(s.api.Get(ctx, client.ObjectKey{Namespace: "metallb-system", Name: "controller"}, controller))
		up, err := cutover.StartController(controller)
		s.must(err)
		s.must(s.api.Patch(ctx, up, client.MergeFrom(controller)))
		s.must(s.api.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack))
		leaving, err := cutover.LeavingStack(stack, nil)
		s.must(err)
		s.must(s.api.Patch(ctx, leaving, client.MergeFrom(stack)))
		s.runs("migrate --rollback", "MetalLB announces the addresses, as before")
		s.unchanged(before)
		if err := s.api.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, &v1beta1.LoadBalancerStack{}); !apierrors.IsNotFound(err) {
			t.Errorf("reading the stack: got the error %v, want NotFound", err)
		}
	})
}
