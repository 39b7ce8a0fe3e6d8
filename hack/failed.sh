#!/usr/bin/env bash
# Prints in a few short lines what failed, from the output of a make target in the file $1: the failed
# tests with what they printed last themselves (a program under test goes on to log until it ends), what
# follows a panic or a data race, or the end of the output where no test failed.
set -euo pipefail
awk '
  /^panic: |^WARNING: DATA RACE/ { following = 12 }
  /^ *--- FAIL|^FAIL\t|^panic: |^WARNING: DATA RACE/ {
    for (i = own - 5; i <= own; i++) if (i in last && last[i] !~ /^=== |--- PASS|^FAIL$/) print last[i]
    split("", last)
    print
    found = 1
    next
  }
  following > 0 { following--; print; next }
  { end[NR] = $0; delete end[NR - 12] }
  /^ *\{"level":/ { next }
  { last[++own] = $0; delete last[own - 7] }
  END { if (!found) for (i = NR - 11; i <= NR; i++) if (i in end) print end[i] }
' "$1" | cut -c -200 | tail -n 36
