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

/*** Convolution: b is flipped and slid over a; correlate does not flip. In 1-D NumPy's, with the suffix 2d SciPy's.
@function signal.convolve
@param a a tensor or table
@param b
@string[opt="full"] mode "full": wherever they overlap; "same": as long as the longer (2d: as a); "valid": where they
overlap completely
@treturn tensor int32 if both are of integers, else float32 */
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
                      luaL_tolstring(L, 3, NULL));
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
