#!/bin/sh
# Runs every test of one flavour, each file to its end: B=build/release sh tests/run.sh [C TEST PROGRAM…]
# Without programs, every one that is built. What a file prints goes to $B/tests/…/NAME.log; the end of it is
# shown if a test fails. The last line says how many passed, failed and were skipped.
#
# A C test counts its tests with cmocka, a Lua file with luaunit, a shell script with lines "ok …", "not ok …"
# and "skip …". A file that ends badly without a failed test, or hangs, or runs no test, is one failure.

B=${B:-build/release}
LIMIT=${LIMIT:-1200} # seconds for one file
passed=0 failed=0 skipped=0

unset LUA_INIT LUA_INIT_5_4 CNNLUA_CPU CNNLUA_MIRROR MAKEFLAGS MFLAGS MAKELEVEL
export B CNNLUA_PROGRAM="$B/cnnlua"

case $B in
*asan)
    here=$(pwd)
    ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
    ASAN_OPTIONS=$ASAN_OPTIONS:check_initialization_order=1:allocator_may_return_null=1
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    LSAN_OPTIONS=print_suppressions=0
    [ ! -f tests/lint/leaks.supp ] || LSAN_OPTIONS=$LSAN_OPTIONS:suppressions=$here/tests/lint/leaks.supp
    export ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS
    ;;
esac

# Prints how many tests a log says have passed, failed and been skipped.
count() {
    awk '
        /\[       OK \]/ { p++ }
        /^ *[0-9]+ FAILED TEST\(S\)/ { f += $1 }
        /^ *[0-9]+ SKIPPED TEST\(S\)/ { s += $1 }
        /^Ran [0-9]+ tests in / {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^success/) p += $(i - 1)
                if ($i ~ /^(failure|error)/) f += $(i - 1)
                if ($i ~ /^skipped/) s += $(i - 1)
            }
        }
        /^ok / { p++ }
        /^not ok / { f++ }
        /^skip / { s++ }
        END { print p + 0, f + 0, s + 0 }' "$1"
}

# run NAME COMMAND…
run() {
    name=$1 log=$B/$1.log
    shift
    mkdir -p "${log%/*}"
    begin=$(date +%s)
    timeout -k 10 "$LIMIT" "$@" >"$log" 2>&1 </dev/null
    status=$?
    read -r good bad skip <<END
$(count "$log")
END
    why=
    if [ "$bad" = 0 ]; then
        if [ "$status" = 124 ]; then
            bad=1 why=", stopped after $LIMIT s"
        elif [ "$status" != 0 ]; then
            bad=1 why=", ended with status $status"
        elif [ $((good + skip)) = 0 ]; then
            bad=1 why=", ran no test"
        fi
    fi
    text="$good ok"
    [ "$skip" = 0 ] || text="$text, $skip skipped"
    [ "$bad" = 0 ] || text="$text, $bad FAILED$why"
    echo "$name: $text ($(($(date +%s) - begin)) s)"
    if [ "$bad" != 0 ]; then
        tail -n 80 "$log" | sed 's/^/    /'
        echo "    (all of it: $log)"
    fi
    passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skip))
}

[ $# -gt 0 ] || set -- "$B"/tests/c/test_*
for program; do
    case $program in *.d | *.log) continue ;; esac
    run "${program#"$B"/}" "$program"
done
for file in tests/lua/test_*.lua; do
    run "${file%.lua}" "$CNNLUA_PROGRAM" tests/lua/run.lua "$file"
done
# What is installed is the release.
case $B in
*release) run tests/install/test_install sh tests/install/test_install.sh ;;
esac

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
