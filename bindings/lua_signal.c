/* cnn.signal: convolve, correlate, convolve2d, correlate2d. */
#include "lua_op.h"
#include "tensor/signal.h"

#include <string.h>

/* True if nothing but integers lies in the nested table or number at index. */
static bool all_integers(lua_State *L, int index, int depth) {
    if (lua_type(L, index) != LUA_TTABLE) return lua_isinteger(L, index);
    bool all = depth < CNN_MAX_RANK;
    luaL_checkstack(L, 4, "nested tables");
    index = lua_absindex(L, index);
    for (lua_Unsigned i = 1, count = lua_rawlen(L, index); all && i <= count; i++) {
        lua_rawgeti(L, index, (lua_Integer)i);
        all = all_integers(L, -1, depth + 1);
        lua_pop(L, 1);
    }
    return all;
}

/* A table of integers becomes int32, as in NumPy. */
static void check_array(lua_State *L, int index, int rank, const char *who, const char *name) {
    if (lua_isnil(L, index)) lcnn_fail(L, "%s: '%s' is missing", who, name);
    const cnn_tensor *t = lcnn_to_dtype(L, index, all_integers(L, index, 0) ? CNN_INT32 : -1);
    if (t->rank != rank)
        lcnn_fail(L, "%s: '%s' must have %d %s, has %d", who, name, rank, rank == 1 ? "axis" : "axes",
                  t->rank);
}

/* All four; correlation is the entry's number, 2-D its name. */
static int filter(lua_State *L) {
    static const char *const modes[] = {"full", "same", "valid", NULL};
    const char *who = lcnn_upvalue_name(L);
    bool correlate = lcnn_upvalue_op(L);
    int rank = strstr(who, "2d") ? 2 : 1, mode = 0;
    lcnn_args_mixed(L, 1, who, (const char *const[]){"a", "b", "mode", NULL});
    check_array(L, 1, rank, who, "a");
    check_array(L, 2, rank, who, "b");
    if (!lua_isnil(L, 3)) {
        const char *word = lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : "";
        while (modes[mode] && strcmp(modes[mode], word) != 0) mode++;
        if (!modes[mode])
            lcnn_fail(L, "%s: 'mode' must be one of 'full', 'same', 'valid', got %s", who,
                      lcnn_describe(L, 3));
    }
    const cnn_tensor *a = lcnn_check_eager(L, 1, who), *b = lcnn_check_eager(L, 2, who);
    cnn_tensor *out = NULL;
    cnn_status status = correlate ? cnn_signal_correlate(&out, a, b, (cnn_signal_mode)mode)
                                  : cnn_signal_convolve(&out, a, b, (cnn_signal_mode)mode);
    lcnn_push_result(L, status, &out);
    for (int i = 1; i <= 2; i++)
        if (lcnn_traced(L, i)) lcnn_no_gradient(L, who, i);
    return 1;
}

/*** Convolution in one dimension: b is flipped and slid over a, and each result is a sum of products; NumPy's
convolve.
@function cnn.signal.convolve
@tparam tensor a one axis, not empty
@tparam tensor b one axis, not empty
@tparam[opt="full"] "full"|"same"|"valid" mode "full": wherever they overlap; "same": the middle of that, as long as
the longer; "valid": where they overlap wholly
@treturn tensor int32 if both are of integers (kept within its range), else float32
@usage
cnn.signal.convolve({1, 2, 3}, {0, 1, 0.5})
--> float32 (5,)
--> [0.  1.  2.5 4.  1.5]
cnn.signal.convolve({1, 2, 3}, {0, 1, 0.5}, "same"):tolist()             --> {1.0, 2.5, 4.0}
cnn.signal.convolve({1, 2, 3}, {0, 1, 0.5}, "valid"):tolist()            --> {2.5}
cnn.signal.convolve({1, 2, 3}, {1, 1}):dtype()           --> int32
*/

/*** Cross-correlation in one dimension: b is slid over a as it is, not flipped; NumPy's correlate, whose own
default is "valid".
@function cnn.signal.correlate
@tparam tensor a one axis, not empty
@tparam tensor b one axis, not empty
@tparam[opt="full"] "full"|"same"|"valid" mode "full": wherever they overlap; "same": the middle of that, as long as
the longer; "valid": where they overlap wholly
@treturn tensor int32 if both are of integers (kept within its range), else float32
@usage
cnn.signal.correlate({1, 2, 3}, {0, 1, 0.5}, "full")
--> float32 (5,)
--> [0.5 2.  3.5 3.  0. ]
cnn.signal.correlate({1, 2, 3}, {0, 1, 0.5}, {mode = "valid"}):tolist()  --> {3.5}
*/

/*** Convolution in two dimensions: b is flipped both ways and slid over a; SciPy's convolve2d.
@function cnn.signal.convolve2d
@tparam tensor a two axes, not empty
@tparam tensor b two axes, not empty
@tparam[opt="full"] "full"|"same"|"valid" mode "full": wherever they overlap; "same": the middle of that, in the shape
of a; "valid": where they overlap wholly
@treturn tensor int32 if both are of integers (kept within its range), else float32
@usage
cnn.signal.convolve2d({{1, 2}, {3, 4}}, {{1, 0}, {0, -1}})
--> int32 (3, 3)
--> [[ 1  2  0]
-->  [ 3  3 -2]
-->  [ 0 -3 -4]]
*/

/*** Cross-correlation in two dimensions: b is slid over a as it is; SciPy's correlate2d, and what Conv2D does.
@function cnn.signal.correlate2d
@tparam tensor a two axes, not empty
@tparam tensor b two axes, not empty
@tparam[opt="full"] "full"|"same"|"valid" mode "full": wherever they overlap; "same": the middle of that, in the shape
of a; "valid": where they overlap wholly
@treturn tensor int32 if both are of integers (kept within its range), else float32
@usage
picture = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}
cnn.signal.correlate2d(picture, {{1, 0}, {0, -1}}, "valid")
--> int32 (2, 2)
--> [[-4 -4]
-->  [-4 -4]]
*/

static const lcnn_entry functions[] = {{"convolve", filter, 0},
                                       {"correlate", filter, 1},
                                       {"convolve2d", filter, 0},
                                       {"correlate2d", filter, 1},
                                       {NULL, NULL, 0}};

int lcnn_open_signal(lua_State *L) {
    luaL_getsubtable(L, 1, "signal");
    lcnn_add_entries(L, functions);
    return 0;
}
