#!/usr/bin/env bash
# Prints the failures in the output of a make target, which is in the file $1, in a few short lines: each
# failed test with the last lines that it printed, and the lines after a panic or a data race. Lines that a
# program under test logged are left out. If no test failed, it prints the end of the output.
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
