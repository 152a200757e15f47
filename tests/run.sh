#!/bin/sh
# Runs every test that is built under $B, each to its end, and says at the end how many passed and failed.
# A C test is one program of tests/c; the Lua tests count one by one.
B=${B:-build/release}
passed=0 failed=0
for test in "$B"/tests/c/test_*; do
    [ -x "$test" ] || continue
    echo "== $test"
    if "$test" >"$test.log" 2>&1; then
        passed=$((passed + $(grep -c '\[       OK \]' "$test.log")))
    else
        cat "$test.log"
        count=$(grep -c '^\[  FAILED  \].*' "$test.log")
        failed=$((failed + (count > 0 ? count : 1)))
    fi
done
echo "== tests/lua"
log=$B/tests/lua.log
mkdir -p "$B/tests"
CNNLUA_PROGRAM=$B/cnnlua "$B/cnnlua" tests/lua/run.lua >"$log" 2>&1
status=$?
cat "$log"
line=$(grep '^Ran [0-9]* tests' "$log")
good=$(echo "$line" | sed -n 's/.* \([0-9]*\) success.*/\1/p')
bad=$(echo "$line" | sed -n 's/.*[, ]\([0-9]*\) failure.*/\1/p')
errors=$(echo "$line" | sed -n 's/.*[, ]\([0-9]*\) error.*/\1/p')
bad=$((${bad:-0} + ${errors:-0}))
[ "$status" = 0 ] || [ "$bad" -gt 0 ] || bad=1
passed=$((passed + ${good:-0}))
failed=$((failed + bad))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
