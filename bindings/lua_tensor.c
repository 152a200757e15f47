/* Tensors in Lua: the userdata, making them from Lua's values and turning them into those. (lua_arith.c
 * computes with them, lua_index.c looks into them.)
 *
 * A tensor is a userdata that holds one reference and gives it back when collected, closed by t:close(), or
 * left by `local t <close>`. Axes and positions count from 1 here, negative ones from the end; ranges
 * {from, to} include both ends, as string.sub's do. */
#include "lua_cnn.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the userdata and the collector -------------------------------------------------------------------- */

/* Lua's collector sees a few bytes where there may be 100 MB. So whenever libcnn holds GROWTH more bytes, and
 * nearly twice as many, as the least seen since the last collection, a full one is due: nearly, so that in a loop over
 * tensors of one size it is due at the second. Memory is the process's; each thread has a Lua state of its own. */
static _Thread_local size_t least_used, collect_at;
enum { GROWTH = 64 << 20 };

static void expect_from(size_t used) {
    least_used = used;
    size_t growth = used - used / 8;
    collect_at = used + (growth > GROWTH ? growth : GROWTH);
}

static void collect_if_grown(lua_State *L) {
    size_t used = cnn_memory_used();
    if (used < least_used || collect_at == 0) expect_from(used);
    if (used < collect_at || !lua_gc(L, LUA_GCISRUNNING)) return;
    lua_gc(L, LUA_GCCOLLECT, 0);
    expect_from(cnn_memory_used());
}

/* Takes the tensor out of the place it is given, for an interruption may raise even when the box has it already. */
static int push_box(lua_State *L) {
    cnn_tensor **owned = lua_touserdata(L, 1), **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, LCNN_TENSOR);
    *box = *owned;
    *owned = NULL;
    return 1;
}

void lcnn_push_tensor(lua_State *L, cnn_tensor *owned) {
    lua_pushcfunction(L, push_box);
    lua_pushlightuserdata(L, &owned);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        cnn_tensor_release(owned);
        lua_error(L);
    }
    collect_if_grown(L);
}

/* The end of most functions here. */
int lcnn_push_result(lua_State *L, cnn_status status, cnn_tensor **owned) {
    lcnn_check(L, status);
    lcnn_push_tensor(L, *owned);
    return 1;
}

cnn_tensor *lcnn_test_tensor(lua_State *L, int index) {
    cnn_tensor **box = luaL_testudata(L, index, LCNN_TENSOR);
    if (!box) return NULL;
    if (!*box) luaL_argerror(L, index, "the tensor is closed");
    return *box;
}

cnn_tensor *lcnn_check_tensor(lua_State *L, int arg) {
    cnn_tensor *tensor = lcnn_test_tensor(L, arg);
    if (!tensor) luaL_typeerror(L, arg, LCNN_TENSOR);
    return tensor;
}

/* One that has elements to look at. */
cnn_tensor *lcnn_check_eager(lua_State *L, int arg, const char *who) {
    cnn_tensor *tensor = lcnn_check_tensor(L, arg);
    if (!tensor->data) lcnn_fail(L, "%s: a symbolic tensor has no elements yet", who);
    return tensor;
}

/*** Gives the memory back at once; whoever uses the tensor afterwards gets an error. `local t <close>` does
it.
@function tensor:close */
static int tensor_close(lua_State *L) {
    cnn_tensor **box = luaL_checkudata(L, 1, LCNN_TENSOR);
    cnn_tensor *tensor = *box;
    *box = NULL;
    cnn_tensor_release(tensor);
    return 0;
}

/* ---- from Lua values ----------------------------------------------------------------------------------- */

void lcnn_push_number(lua_State *L, const cnn_tensor *t, int64_t position) {
    double value = cnn_tensor_get(t, position);
    if (t->dtype == CNN_UINT8 || t->dtype == CNN_INT32)
        lua_pushinteger(L, (lua_Integer)value);
    else
        lua_pushnumber(L, value);
}

/* As cnn_cast: towards zero. */
void lcnn_set_number(cnn_tensor *t, int64_t position, double value) {
    cnn_tensor_set(t, position, t->dtype == CNN_UINT8 || t->dtype == CNN_INT32 ? trunc(value) : value);
}

/* Where in a nested table a conversion stands, for its messages. */
typedef struct walk {
    cnn_tensor *tensor;
    int64_t position, path[CNN_MAX_RANK];
} walk;

static const char *push_path(lua_State *L, const walk *w, int depth) {
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (int i = 0; i < depth; i++) {
        char part[32];
        snprintf(part, sizeof part, "[%lld]", (long long)w->path[i] + 1);
        luaL_addstring(&text, part);
    }
    luaL_pushresult(&text);
    return lua_tostring(L, -1);
}

static void fill(lua_State *L, walk *w, int depth) {
    if (depth == w->tensor->rank) {
        int type = lua_type(L, -1);
        if (type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
            const char *came = luaL_typename(L, -1);
            lcnn_fail(L, "tensor: element %s must be a number, got a %s", push_path(L, w, depth), came);
        }
        lcnn_set_number(w->tensor, w->position++,
                        type == LUA_TNUMBER ? lua_tonumber(L, -1) : lua_toboolean(L, -1));
        return;
    }
    int64_t size = w->tensor->shape[depth];
    bool is_table = lua_type(L, -1) == LUA_TTABLE;
    int64_t given = is_table ? (int64_t)lua_rawlen(L, -1) : 0;
    if (!is_table || given != size) {
        const char *came =
            is_table ? lua_pushfstring(L, "%I of them", (LUAI_UACINT)given) : luaL_typename(L, -1);
        lcnn_fail(L, "tensor: the table is ragged: %s must hold %I elements as its neighbours do, got %s",
                  push_path(L, w, depth), (LUAI_UACINT)size, came);
    }
    for (int64_t i = 0; i < size; i++) {
        w->path[depth] = i;
        lua_rawgeti(L, -1, i + 1);
        fill(L, w, depth + 1);
        lua_pop(L, 1);
    }
}

/* The nested table (or number, or boolean) at index as a new tensor on the top; fallback, or uint8 for
 * booleans if dtype is -1. */
static void push_converted(lua_State *L, int index, int dtype) {
    luaL_checkstack(L, 2 * CNN_MAX_RANK + 8, "nested tables");
    int64_t shape[CNN_MAX_RANK];
    int rank = 0, top = lua_gettop(L);
    lua_pushvalue(L, index);
    while (lua_type(L, -1) == LUA_TTABLE) {
        if (rank == CNN_MAX_RANK) lcnn_fail(L, "tensor: the table is nested more than %d deep", CNN_MAX_RANK);
        shape[rank] = (int64_t)lua_rawlen(L, -1);
        if (shape[rank++] == 0) break;
        lua_rawgeti(L, -1, 1);
    }
    if (lcnn_test_tensor(L, -1)) lcnn_fail(L, "tensor: tensors in a table are put together by cnn.stack");
    if (dtype < 0) dtype = lua_isboolean(L, -1) ? CNN_UINT8 : CNN_FLOAT32;
    lua_settop(L, top);
    walk w = {0};
    lcnn_check(L, cnn_tensor_new(&w.tensor, (cnn_dtype)dtype, rank, shape));
    lcnn_push_tensor(L, w.tensor);
    lua_pushvalue(L, index);
    fill(L, &w, 0);
    lua_pop(L, 1);
}

cnn_tensor *lcnn_to_dtype(lua_State *L, int index, int dtype) {
    cnn_tensor *tensor = lcnn_test_tensor(L, index);
    if (tensor) return tensor;
    int type = lua_type(L, index);
    if (type != LUA_TNUMBER && type != LUA_TBOOLEAN && type != LUA_TTABLE)
        luaL_typeerror(L, index, LCNN_TENSOR);
    push_converted(L, index, dtype);
    lua_replace(L, index);
    return lcnn_check_tensor(L, index);
}

cnn_tensor *lcnn_to_tensor(lua_State *L, int index) {
    return lcnn_to_dtype(L, index, -1);
}

/* ---- making tensors ------------------------------------------------------------------------------------ */

/*** cnn.tensor(value [, dtype]): from a number or nested tables, float32 unless told otherwise (uint8 if of
booleans); from a tensor, a copy.
@function tensor */
static int new_tensor(lua_State *L) {
    if (lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TTABLE) {
        lua_pushliteral(L, "dtype");
        lua_rawget(L, 1);
    }
    lua_settop(L, 2);
    int dtype = lua_isnil(L, 2) ? -1 : (int)lcnn_opt_dtype(L, 2, "tensor", CNN_FLOAT32);
    cnn_tensor *source = lcnn_test_tensor(L, 1), *out = NULL;
    if (source)
        return lcnn_push_result(L, cnn_cast(&out, source, dtype < 0 ? source->dtype : (cnn_dtype)dtype),
                                &out);
    lcnn_to_dtype(L, 1, dtype);
    lua_settop(L, 1);
    return 1;
}

static int64_t check_count(lua_State *L, int arg, const char *who, const char *name) {
    int whole = 0;
    int64_t count = lua_type(L, arg) == LUA_TNUMBER ? lua_tointegerx(L, arg, &whole) : 0;
    if (!whole || count < 0)
        lcnn_fail(L, "%s: '%s' must be a whole number, got %s", who, name, luaL_tolstring(L, arg, NULL));
    return count;
}

/*** A tensor of zeros; `ones` is one of ones. cnn.zeros{2, 3}, cnn.ones{2, 3, dtype = "int32"}, cnn.ones({2,
3}, "uint8").
@function zeros */
static int constant(lua_State *L) {
    static const char *const names[] = {"*shape", "dtype", NULL};
    const char *who = lcnn_upvalue_name(L);
    int64_t shape[CNN_MAX_RANK];
    lcnn_args(L, 1, who, names);
    int rank = lcnn_check_shape(L, 1, who, shape);
    cnn_dtype dtype = lcnn_opt_dtype(L, 2, who, CNN_FLOAT32);
    cnn_tensor *out = NULL;
    if (lcnn_upvalue_op(L) == 0) return lcnn_push_result(L, cnn_tensor_new(&out, dtype, rank, shape), &out);
    return lcnn_push_result(L, cnn_tensor_full(&out, dtype, rank, shape, lcnn_upvalue_op(L)), &out);
}

/*** cnn.full({2, 3}, 7 [, dtype]), cnn.full{2, 3, fill_value = 7}.
@function full */
static int full(lua_State *L) {
    static const char *const names[] = {"*shape", "fill_value", "dtype", NULL};
    int64_t shape[CNN_MAX_RANK];
    lcnn_args(L, 1, "full", names);
    int rank = lcnn_check_shape(L, 1, "full", shape);
    double value = lcnn_check_number(L, 2, "full", "fill_value");
    cnn_dtype dtype = lcnn_opt_dtype(L, 3, "full", CNN_FLOAT32);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_tensor_full(&out, dtype, rank, shape, value), &out);
}

/*** Zeros (`ones_like`: ones) in the shape and, unless told otherwise, the dtype of another: cnn.zeros_like(t
[, dtype]).
@function zeros_like */
static int constant_like(lua_State *L) {
    cnn_tensor *like = lcnn_check_eager(L, 1, lcnn_upvalue_name(L)), *out = NULL;
    cnn_dtype dtype = lcnn_opt_dtype(L, 2, lcnn_upvalue_name(L), like->dtype);
    return lcnn_push_result(L, cnn_tensor_full(&out, dtype, like->rank, like->shape, lcnn_upvalue_op(L)),
                            &out);
}

/*** cnn.arange(stop), cnn.arange(start, stop [, step]), each with a dtype after or by name: the stop is
excluded. Of integers an int32 tensor, else float32.
@function arange */
static int arange(lua_State *L) {
    static const char *const names[] = {"start", "stop", "step", "dtype", NULL};
    lcnn_args(L, 1, "arange", names);
    for (int i = 2; i <= 3 && lua_isnil(L, 4); i++) {
        if (lua_type(L, i) != LUA_TSTRING) continue;
        lua_copy(L, i, 4);
        lua_pushnil(L);
        lua_replace(L, i);
    }
    if (lua_isnil(L, 2)) {
        lua_copy(L, 1, 2);
        lua_pushinteger(L, 0);
        lua_replace(L, 1);
    }
    if (lua_isnil(L, 3)) {
        lua_pushinteger(L, 1);
        lua_replace(L, 3);
    }
    bool whole = lua_isinteger(L, 1) && lua_isinteger(L, 2) && lua_isinteger(L, 3);
    double start = lcnn_check_number(L, 1, "arange", "start"),
           stop = lcnn_check_number(L, 2, "arange", "stop");
    double step = lcnn_check_number(L, 3, "arange", "step");
    cnn_dtype dtype = lcnn_opt_dtype(L, 4, "arange", whole ? CNN_INT32 : CNN_FLOAT32);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_arange(&out, dtype, start, stop, step), &out);
}

/*** cnn.linspace(start, stop [, num]): num values (50), evenly spaced from start to stop, both included.
@function linspace */
static int linspace(lua_State *L) {
    static const char *const names[] = {"start", "stop", "num", NULL};
    lcnn_args(L, 1, "linspace", names);
    double start = lcnn_check_number(L, 1, "linspace", "start"),
           stop = lcnn_check_number(L, 2, "linspace", "stop");
    int64_t num = lua_isnil(L, 3) ? 50 : check_count(L, 3, "linspace", "num");
    cnn_tensor *out = NULL;
    lcnn_check(L, cnn_tensor_new(&out, CNN_FLOAT32, 1, &num));
    float *values = cnn_f32(out);
    for (int64_t i = 0; i < num; i++) {
        double part = num > 1 ? (double)i / (double)(num - 1) : 0;
        values[i] = (float)(i > 0 && i + 1 == num ? stop : start + (stop - start) * part);
    }
    lcnn_push_tensor(L, out);
    return 1;
}

/*** cnn.eye(rows [, columns [, dtype]]).
@function eye */
static int eye(lua_State *L) {
    static const char *const names[] = {"rows", "columns", "dtype", NULL};
    lcnn_args(L, 1, "eye", names);
    int64_t rows = check_count(L, 1, "eye", "rows");
    int64_t columns = lua_isnil(L, 2) ? rows : check_count(L, 2, "eye", "columns");
    cnn_dtype dtype = lcnn_opt_dtype(L, 3, "eye", CNN_FLOAT32);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_eye(&out, dtype, rows, columns), &out);
}

/*** cnn.one_hot(labels, depth): adds an axis of depth classes; labels count from 0.
@function one_hot */
static int one_hot(lua_State *L) {
    static const char *const names[] = {"labels", "depth", NULL};
    if (lua_gettop(L) == 1) lcnn_args(L, 1, "one_hot", names);
    lcnn_to_tensor(L, 1);
    int64_t depth = check_count(L, 2, "one_hot", "depth");
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_one_hot(&out, lcnn_check_tensor(L, 1), depth), &out);
}

/*** True if the value is a tensor, a closed one too.
@function is_tensor */
static int is_tensor(lua_State *L) {
    lua_pushboolean(L, luaL_testudata(L, 1, LCNN_TENSOR) != NULL);
    return 1;
}

/* ---- what a tensor is ---------------------------------------------------------------------------------- */

/*** t:shape() is a table, t:shape(axis) one size; -1 stands for a size not known.
@function tensor:shape */
static int shape(lua_State *L) {
    cnn_tensor *t = lcnn_check_tensor(L, 1);
    if (lua_isnoneornil(L, 2))
        lcnn_push_shape(L, t->rank, t->shape);
    else
        lua_pushinteger(L, t->shape[lcnn_check_axis(L, luaL_checkinteger(L, 2), t->rank, "shape")]);
    return 1;
}

/*** The number of axes; also `ndim`.
@function tensor:rank */
static int rank(lua_State *L) {
    lua_pushinteger(L, lcnn_check_tensor(L, 1)->rank);
    return 1;
}

/*** The number of elements; also `numel`. -1 if not known.
@function tensor:size */
static int numel(lua_State *L) {
    lua_pushinteger(L, lcnn_check_tensor(L, 1)->size);
    return 1;
}

/*** The name of the element type: "float32", "uint8", "int32" or "bfloat16".
@function tensor:dtype */
static int dtype(lua_State *L) {
    lua_pushstring(L, cnn_dtype_name(lcnn_check_tensor(L, 1)->dtype));
    return 1;
}

static int length(lua_State *L) {
    cnn_tensor *t = lcnn_check_tensor(L, 1);
    if (t->rank == 0) lcnn_fail(L, "length: a tensor of rank 0 has no axis");
    lua_pushinteger(L, t->shape[0]);
    return 1;
}

static int to_string(lua_State *L) {
    cnn_tensor **box = luaL_checkudata(L, 1, LCNN_TENSOR);
    char sizes[CNN_SHAPE_TEXT];
    char *text = NULL;
    if (!*box) {
        lua_pushliteral(L, "tensor (closed)");
    } else if (!(*box)->data) {
        cnn_shape_text(sizes, sizeof sizes, (*box)->rank, (*box)->shape);
        lua_pushfstring(L, "symbolic tensor %s %s", cnn_dtype_name((*box)->dtype), sizes);
    } else {
        lcnn_check(L, cnn_tensor_format(&text, *box));
        lcnn_push_text(L, text);
    }
    return 1;
}

/*** t:item(): the only element, as a number.
@function tensor:item */
static int item(lua_State *L) {
    cnn_tensor *t = lcnn_check_eager(L, 1, "item");
    if (t->size != 1) lcnn_fail(L, "item: the tensor must have 1 element, has %I", (LUAI_UACINT)t->size);
    lcnn_push_number(L, t, 0);
    return 1;
}

static int64_t push_nested(lua_State *L, const cnn_tensor *t, int axis, int64_t position) {
    if (axis == t->rank) {
        lcnn_push_number(L, t, position);
        return position + 1;
    }
    int64_t size = t->shape[axis];
    lua_createtable(L, size < INT32_MAX ? (int)size : 0, 0);
    for (int64_t i = 0; i < size; i++) {
        position = push_nested(L, t, axis + 1, position);
        lua_rawseti(L, -2, i + 1);
    }
    return position;
}

/*** t:tolist(): nested tables; of rank 0 a number.
@function tensor:tolist */
static int to_list(lua_State *L) {
    const cnn_tensor *t = lcnn_check_eager(L, 1, "tolist");
    luaL_checkstack(L, CNN_MAX_RANK + 4, "nested tables");
    lua_settop(L, 1);
    push_nested(L, t, 0, 0);
    return 1;
}

/* == compares objects: true for the same tensor, however it was got. */
static int same(lua_State *L) {
    cnn_tensor **a = luaL_testudata(L, 1, LCNN_TENSOR), **b = luaL_testudata(L, 2, LCNN_TENSOR);
    lua_pushboolean(L, a && b && *a == *b);
    return 1;
}

/* ---- registration -------------------------------------------------------------------------------------- */

/* Of the module only. */
static const lcnn_entry module_functions[] = {
    {"tensor", new_tensor, 0}, {"zeros", constant, 0},           {"ones", constant, 1},
    {"full", full, 0},         {"zeros_like", constant_like, 0}, {"ones_like", constant_like, 1},
    {"arange", arange, 0},     {"linspace", linspace, 0},        {"eye", eye, 0},
    {"one_hot", one_hot, 0},   {"is_tensor", is_tensor, 0},      {NULL, NULL, 0},
};

/* Methods of tensors only. */
static const lcnn_entry methods[] = {
    {"shape", shape, 0},     {"rank", rank, 0},          {"ndim", rank, 0}, {"numel", numel, 0},
    {"size", numel, 0},      {"dtype", dtype, 0},        {"item", item, 0}, {"tolist", to_list, 0},
    {"totable", to_list, 0}, {"close", tensor_close, 0}, {NULL, NULL, 0},
};

static const lcnn_entry metamethods[] = {
    {"__gc", tensor_close, 0},
    {"__close", tensor_close, 0},
    {"__tostring", to_string, 0},
    {"__len", length, 0},
    {"__eq", same, 0},
    {NULL, NULL, 0},
};

int lcnn_open_tensor(lua_State *L) {
    static const cnn_dtype dtypes[] = {CNN_FLOAT32, CNN_UINT8, CNN_INT32, CNN_BFLOAT16};
    luaL_newmetatable(L, LCNN_TENSOR);
    lcnn_add_entries(L, metamethods);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable"); /* finalizers are not for scripts to call */
    lcnn_push_methods(L);
    lcnn_add_entries(L, methods);
    lua_settop(L, 1);
    lcnn_add_entries(L, module_functions);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        lua_pushstring(L, cnn_dtype_name(dtypes[i]));
        lua_setfield(L, 1, cnn_dtype_name(dtypes[i])); /* cnn.float32 == "float32" */
    }
    return 0;
}
