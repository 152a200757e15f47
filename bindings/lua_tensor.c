/* Tensors in Lua: the userdata, making them from Lua's values and turning them into those. (lua_arith.c
 * computes with them, lua_index.c looks into them.)
 *
 * A tensor is a userdata that holds one reference and gives it back when collected, closed by t:close(), or
 * left by `local t <close>`. Axes and positions count from 1 here, negative ones from the end; ranges
 * {from, to} include both ends, as string.sub's do. */
#include "lua_op.h"
#include "base/text.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*** An array of numbers with any number of axes up to 8, as NumPy's ndarray: what cnn computes with. The elements are
of one type: float32 (the usual), uint8 (pictures, masks), int32 (labels, positions) or bfloat16. They lie in memory
one after the other, the last axis fastest. Axes and positions count from 1, negative ones from the end.

Indexing: of a vector t[i] is a number, else row i, which shares the tensor's memory. t[{i, {from, to, step}, nil}] is
a copy: on each axis an integer picks a position and drops the axis, a range picks positions (both ends are included,
as in string.sub), nil takes all; axes not told are taken whole. If integers pick one element it is a number.
t[positions] picks rows by a tensor of positions, t[mask] those where a uint8 tensor of #t elements is not 0. t[…] =
value writes a number, or what broadcasts to the place; positions and masks in tensors cannot be written to (see
cnn.where). A position that is not there is an error; ends of ranges are cut to what is there. `for i, row in
pairs(t)` goes through the first axis.

Operators: + - * / // % ^ and unary - go element by element and broadcast, with numbers and nested tables too (cnn.add
tells of the types). #t is the size of the first axis. tostring(t) writes it as NumPy does. t == u asks whether both
are the same tensor (elements are compared by cnn.equal and cnn.allclose); t < u and t <= u take tensors of one
element.

`local t <close>` gives the memory back at the block's end; else the collector does (tensor:close).
@field tensor
@usage
t = cnn.arange(6):reshape{2, 3}
t
--> int32 (2, 3)
--> [[0 1 2]
-->  [3 4 5]]
t[2][3], t[{2, 3}], t[{-1, -1}]
--> 5
--> 5
--> 5
t[{nil, {2, 3}}]       -- all rows, columns 2 to 3
--> int32 (2, 2)
--> [[1 2]
-->  [4 5]]
t[1] = {7, 8, 9}
t[{nil, 1}] = 0
t * 10 + {1, 2, 3}     -- the table becomes float32
--> float32 (2, 3)
--> [[ 1. 82. 93.]
-->  [ 1. 42. 53.]]
t[3]                   --> error: index: position 3 is out of range for axis 1 of size 2 (positions count from 1)
*/

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

/*** Gives the tensor's memory back at once; whoever uses it afterwards gets an error. Usually the collector does
this, which knows how big tensors are. Memory that is shared (rows, reshaped tensors) goes with the last tensor that
uses it. A variable declared `<close>` is closed at the end of its block.
@function tensor:close
@usage
t = cnn.ones{3}
t:close()
tostring(t)            --> tensor (closed)
t + 1                  --> error: bad argument #1 to 'add' (the tensor is closed)
do local u <close> = cnn.zeros{1000, 1000} end
*/
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

/* What a number becomes in a tensor of integers: towards zero, as cnn_cast. */
double lcnn_fit_number(cnn_dtype dtype, double value) {
    return dtype == CNN_UINT8 || dtype == CNN_INT32 ? trunc(value) : value;
}

void lcnn_set_number(cnn_tensor *t, int64_t position, double value) {
    cnn_tensor_set(t, position, lcnn_fit_number(t->dtype, value));
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
        if (shape[rank] == 0) lcnn_check_names(L, -1, "tensor", "dtype");
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
        luaL_typeerror(L, index, "tensor, number or table");
    push_converted(L, index, dtype);
    lua_replace(L, index);
    return lcnn_check_tensor(L, index);
}

cnn_tensor *lcnn_to_tensor(lua_State *L, int index) {
    return lcnn_to_dtype(L, index, -1);
}

/* ---- making tensors ------------------------------------------------------------------------------------ */

/*** A tensor of a number or of nested tables, or a copy of a tensor. All tables of one depth must have equal lengths.
Numbers become float32 unless dtype tells otherwise; where the first element is true or false, booleans become uint8 1
and 0. For integers, fractions are cut off, what is too large for the type becomes its largest value, and NaN becomes
0. A lone table may have the dtype as a field: cnn.tensor{1, 2, dtype = "int32"}.
@function cnn.tensor
@tparam number|bool|table|tensor value of at most 8 nested tables
@tparam[opt] text dtype default: float32, uint8 of booleans, a tensor's own
@treturn tensor with memory of its own
@raise a ragged table; an element that is no number; a name in the table other than dtype
@usage
cnn.tensor{{1, 2, 3}, {4, 5, 6}}
--> float32 (2, 3)
--> [[1. 2. 3.]
-->  [4. 5. 6.]]
cnn.tensor({-1.5, 2.7, 300}, "uint8")
--> uint8 (3,)
--> [  0   2 255]
cnn.tensor{true, false}:dtype()    --> uint8
cnn.tensor(7):shape()              --> {}
cnn.tensor{{1, 2}, {3}}
--> error: tensor: the table is ragged: [2] must hold 2 elements as its neighbours do, got 1 of them
*/
static int new_tensor(lua_State *L) {
    lua_settop(L, 2);
    if (lua_type(L, 1) == LUA_TTABLE) {
        lcnn_check_names(L, 1, "tensor", lua_isnil(L, 2) ? "dtype" : NULL);
        if (lua_isnil(L, 2)) {
            lua_pushliteral(L, "dtype");
            lua_rawget(L, 1);
            lua_replace(L, 2);
        }
    }
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
        lcnn_fail(L, "%s: '%s' must be a whole number, got %s", who, name, lcnn_describe(L, arg));
    return count;
}

/*** A tensor of zeros.
@function cnn.zeros
@tparam {int,...}|int shape a size for each axis; 0 is allowed, {} gives a single number
@tparam[opt="float32"] text dtype float32, uint8, int32 or bfloat16
@treturn tensor
@raise a negative size, more than 8 axes, more than 2^40 bytes
@usage
cnn.zeros{2, 3}
--> float32 (2, 3)
--> [[0. 0. 0.]
-->  [0. 0. 0.]]
cnn.zeros{2, dtype = "int32"}
--> int32 (2,)
--> [0 0]
cnn.zeros({2}, "int32"):dtype()    --> int32
*/

/*** A tensor of ones.
@function cnn.ones
@tparam {int,...}|int shape a size for each axis
@tparam[opt="float32"] text dtype float32, uint8, int32 or bfloat16
@treturn tensor
@usage
cnn.ones{2, 2} * 3
--> float32 (2, 2)
--> [[3. 3.]
-->  [3. 3.]]
cnn.ones{4, dtype = "uint8"}
--> uint8 (4,)
--> [1 1 1 1]
*/
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

/*** A tensor with the same number everywhere.
@function cnn.full
@tparam {int,...}|int shape a size for each axis
@tparam number fill_value the number; for integers its fraction is cut off, and it is kept within the type
@tparam[opt="float32"] text dtype float32, uint8, int32 or bfloat16
@treturn tensor
@usage
cnn.full({2, 3}, 7)
--> float32 (2, 3)
--> [[7. 7. 7.]
-->  [7. 7. 7.]]
cnn.full{3, fill_value = 300, dtype = "uint8"}
--> uint8 (3,)
--> [255 255 255]
*/
static int full(lua_State *L) {
    static const char *const names[] = {"*shape", "fill_value", "dtype", NULL};
    int64_t shape[CNN_MAX_RANK];
    lcnn_args(L, 1, "full", names);
    int rank = lcnn_check_shape(L, 1, "full", shape);
    double value = lcnn_check_number(L, 2, "full", "fill_value");
    cnn_dtype dtype = lcnn_opt_dtype(L, 3, "full", CNN_FLOAT32);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_tensor_full(&out, dtype, rank, shape, lcnn_fit_number(dtype, value)),
                            &out);
}

/*** Zeros in the shape and the type of another tensor.
@function cnn.zeros_like
@tparam tensor x
@tparam[opt] text dtype default: that of x
@treturn tensor
@usage
cnn.zeros_like(cnn.tensor({1, 2, 3}, "int32"))
--> int32 (3,)
--> [0 0 0]
*/

/*** Ones in the shape and the type of another tensor.
@function cnn.ones_like
@tparam tensor x
@tparam[opt] text dtype default: that of x
@treturn tensor
@usage
cnn.ones_like(cnn.zeros{2, 2}, "uint8")
--> uint8 (2, 2)
--> [[1 1]
-->  [1 1]]
*/
static int constant_like(lua_State *L) {
    const char *who = lcnn_upvalue_name(L);
    lcnn_args_mixed(L, 1, who, (const char *const[]){"*x", "dtype", NULL});
    lcnn_to_tensor(L, 1);
    cnn_tensor *like = lcnn_check_eager(L, 1, who), *out = NULL;
    cnn_dtype dtype = lcnn_opt_dtype(L, 2, who, like->dtype);
    return lcnn_push_result(L, cnn_tensor_full(&out, dtype, like->rank, like->shape, lcnn_upvalue_op(L)),
                            &out);
}

/*** Numbers at equal distances: start, start + step, … up to stop, which is left out. cnn.arange(stop) starts at 0.
The dtype may also be the last argument after fewer numbers: cnn.arange(3, "float32").
@function cnn.arange
@tparam[opt=0] number start the first number
@tparam number stop not reached
@tparam[opt=1] number step may be negative, not 0
@tparam[opt] text dtype default: int32 if all three are integers, else float32
@treturn tensor of one axis; empty if the step leads away from stop
@usage
cnn.arange(4)
--> int32 (4,)
--> [0 1 2 3]
cnn.arange(1, 2, 0.25)
--> float32 (4,)
--> [1.   1.25 1.5  1.75]
cnn.arange(5, 0, -2):tolist()      --> {5, 3, 1}
*/
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
        lua_pushnil(L);
        lua_replace(L, 1);
    }
    if (lua_isnil(L, 1)) {
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

/*** Numbers at equal distances from start to stop, both of which are included.
@function cnn.linspace
@tparam number start
@tparam number stop
@tparam[opt=50] int num how many
@treturn tensor float32, of one axis
@usage
cnn.linspace(0, 1, 5)
--> float32 (5,)
--> [0.   0.25 0.5  0.75 1.  ]
*/
static int linspace(lua_State *L) {
    static const char *const names[] = {"start", "stop", "num", NULL};
    lcnn_args(L, 1, "linspace", names);
    double start = lcnn_check_number(L, 1, "linspace", "start"),
           stop = lcnn_check_number(L, 2, "linspace", "stop");
    int64_t num = lua_isnil(L, 3) ? 50 : check_count(L, 3, "linspace", "num");
    cnn_tensor *out = NULL;
    lcnn_check(L, cnn_tensor_alloc_for("linspace", &out, CNN_FLOAT32, 1, &num));
    float *values = cnn_f32(out);
    for (int64_t i = 0; i < num; i++) {
        double part = num > 1 ? (double)i / (double)(num - 1) : 0;
        values[i] = (float)(i > 0 && i + 1 == num ? stop : start + (stop - start) * part);
    }
    lcnn_push_tensor(L, out);
    return 1;
}

/*** A matrix with ones on its diagonal and zeros elsewhere.
@function cnn.eye
@tparam int rows
@tparam[opt] int columns default: as many as rows
@tparam[opt="float32"] text dtype float32, uint8, int32 or bfloat16
@treturn tensor [rows, columns]
@usage
cnn.eye(2, 3)
--> float32 (2, 3)
--> [[1. 0. 0.]
-->  [0. 1. 0.]]
*/
static int eye(lua_State *L) {
    static const char *const names[] = {"rows", "columns", "dtype", NULL};
    lcnn_args(L, 1, "eye", names);
    int64_t rows = check_count(L, 1, "eye", "rows");
    int64_t columns = lua_isnil(L, 2) ? rows : check_count(L, 2, "eye", "columns");
    cnn_dtype dtype = lcnn_opt_dtype(L, 3, "eye", CNN_FLOAT32);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_eye(&out, dtype, rows, columns), &out);
}

/*** Labels as rows of zeros with a one at the label's place. Labels count from 0, as in Keras: they are data, not
positions. See also cnn.utils.to_categorical.
@function cnn.one_hot
@tparam tensor|table|int labels whole numbers from 0 to depth - 1, of any shape
@tparam int depth the number of classes
@treturn tensor float32, in the labels' shape with one more axis, of size depth, at the end
@raise a label that is not whole or outside the range
@usage
cnn.one_hot({0, 2}, 3)
--> float32 (2, 3)
--> [[1. 0. 0.]
-->  [0. 0. 1.]]
cnn.one_hot({0, 3}, 3)
--> error: one_hot: expected whole labels from 0 to 2, got 3 (number 2)
*/
static int one_hot(lua_State *L) {
    static const char *const names[] = {"labels", "depth", NULL};
    if (lua_gettop(L) == 1) lcnn_args(L, 1, "one_hot", names);
    lcnn_to_tensor(L, 1);
    int64_t depth = check_count(L, 2, "one_hot", "depth");
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_one_hot(&out, lcnn_check_tensor(L, 1), depth), &out);
}

/*** True of tensors, closed ones too, and false of everything else.
@function cnn.is_tensor
@tparam any value
@treturn bool
@usage
cnn.is_tensor(cnn.zeros{2})        --> true
cnn.is_tensor{1, 2}                --> false
*/
static int is_tensor(lua_State *L) {
    lua_pushboolean(L, luaL_testudata(L, 1, LCNN_TENSOR) != NULL);
    return 1;
}

/* ---- what a tensor is ---------------------------------------------------------------------------------- */

/*** The sizes of the axes, or of one of them. In symbolic tensors, from which models are made, -1 stands for a size
that is not known yet.
@function tensor:shape
@tparam[opt] int axis counted from 1; negative from the end
@treturn table|int a new table of all sizes; with an axis, its size
@raise an axis that is not there
@usage
t = cnn.zeros{2, 3, 4}
t:shape()              --> {2, 3, 4}
t:shape(1)             --> 2
t:shape(-1)            --> 4
t:shape(4)             --> error: shape: axis 4 is not there in a tensor of rank 3 (axes count from 1)
*/
static int shape(lua_State *L) {
    cnn_tensor *t = lcnn_check_tensor(L, 1);
    if (lua_isnoneornil(L, 2))
        lcnn_push_shape(L, t->rank, t->shape);
    else
        lua_pushinteger(L, t->shape[lcnn_check_axis(L, luaL_checkinteger(L, 2), t->rank, "shape")]);
    return 1;
}

/*** The number of axes.
@function tensor:rank
@treturn int 0 of a single number
@usage
cnn.zeros{2, 3}:rank() --> 2
cnn.tensor(7):rank()   --> 0
*/

/*** The number of axes, by NumPy's name: tensor:rank.
@function tensor:ndim
@treturn int
@usage
cnn.zeros{2, 3}:ndim() --> 2
*/
static int rank(lua_State *L) {
    lua_pushinteger(L, lcnn_check_tensor(L, 1)->rank);
    return 1;
}

/*** The number of elements.
@function tensor:size
@treturn int the product of the sizes; -1 where a size is not known yet
@usage
cnn.zeros{2, 3}:size() --> 6
cnn.zeros{0, 3}:size() --> 0
*/

/*** The number of elements, by PyTorch's name: tensor:size.
@function tensor:numel
@treturn int
@usage
cnn.zeros{2, 3}:numel()            --> 6
*/
static int numel(lua_State *L) {
    lua_pushinteger(L, lcnn_check_tensor(L, 1)->size);
    return 1;
}

/*** The name of the elements' type.
@function tensor:dtype
@treturn text "float32", "uint8", "int32" or "bfloat16"
@usage
cnn.zeros{2}:dtype()               --> float32
cnn.arange(3):dtype()              --> int32
*/
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

/*** The only element, as a Lua number.
@function tensor:item
@treturn number an integer of integer types
@raise more or fewer elements than one
@usage
cnn.tensor{1, 2, 3}:sum():item()   --> 6.0
cnn.tensor{1, 2}:item()            --> error: item: the tensor must have 1 element, has 2
*/
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

/*** The elements in nested tables.
@function tensor:tolist
@treturn table|number a number if the tensor has no axes
@usage
cnn.arange(4):reshape{2, 2}:tolist()     --> {{0, 1}, {2, 3}}
*/

/*** The elements in nested tables: tensor:tolist.
@function tensor:totable
@treturn table|number
@usage
cnn.arange(3):totable()            --> {0, 1, 2}
*/
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

/*** The name of the type of numbers with 32 bits and a floating point, which most tensors have: the string "float32".
@field cnn.float32
@usage
cnn.zeros({2}, cnn.float32):dtype()      --> float32
*/

/*** The name of the type of bytes, whole numbers from 0 to 255: the string "uint8". Pictures and masks are of this
type. Arithmetic between bytes wraps around, conversion to bytes keeps within 0 to 255.
@field cnn.uint8
@usage
cnn.tensor({250}, cnn.uint8) + cnn.tensor({10}, cnn.uint8)
--> uint8 (1,)
--> [4]
cnn.tensor{260}:astype(cnn.uint8)
--> uint8 (1,)
--> [255]
*/

/*** The name of the type of whole numbers with 32 bits: the string "int32".
@field cnn.int32
@usage
cnn.arange(3):dtype() == cnn.int32       --> true
*/

/*** The name of the type of numbers with 16 bits, the first 16 of float32: the string "bfloat16". It has the range of
float32 and 2 to 3 decimal digits.
@field cnn.bfloat16
@usage
cnn.tensor({1.001, 3.14159}, cnn.bfloat16)
--> bfloat16 (2,)
--> [1.   3.14]
*/

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
