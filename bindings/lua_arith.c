/* Computing with tensors: operators, functions of elements, reductions, and shapes. Each function is a
 * method, t:exp(), and one of the module, cnn.exp(t), which also takes numbers and nested tables. */
#include "lua_cnn.h"

#include <math.h>

/* ---- the three ways to compute ------------------------------------------------------------------------- */

int lcnn_apply_binary(lua_State *L, cnn_binary_op op, int a, int b) {
    cnn_tensor *out = NULL;
    bool a_number = lua_type(L, a) == LUA_TNUMBER, b_number = lua_type(L, b) == LUA_TNUMBER;
    if (a_number != b_number) {
        int tensor = a_number ? b : a;
        double number = lua_tonumber(L, a_number ? a : b);
        lcnn_to_tensor(L, tensor);
        return lcnn_push_result(
            L, cnn_binary_number(&out, op, lcnn_check_tensor(L, tensor), number, a_number), &out);
    }
    lcnn_to_tensor(L, a);
    lcnn_to_tensor(L, b);
    cnn_status status = cnn_binary(&out, op, lcnn_check_tensor(L, a), lcnn_check_tensor(L, b));
    return lcnn_push_result(L, status, &out);
}

int lcnn_apply_unary(lua_State *L, cnn_unary_op op, int a) {
    cnn_tensor *out = NULL;
    lcnn_to_tensor(L, a);
    return lcnn_push_result(L, cnn_unary(&out, op, lcnn_check_tensor(L, a)), &out);
}

int lcnn_apply_reduce(lua_State *L, cnn_reduce_op op, int a, unsigned axes, bool keepdims) {
    cnn_tensor *out = NULL, *positions = NULL;
    lcnn_to_tensor(L, a);
    cnn_status status = cnn_reduce(&out, op, lcnn_check_tensor(L, a), axes, keepdims);
    if (status == CNN_OK && (op == CNN_ARGMAX || op == CNN_ARGMIN)) {
        status = cnn_binary_number(&positions, CNN_ADD, out, 1, false);
        cnn_tensor_release(out);
        out = positions;
    }
    return lcnn_push_result(L, status, &out);
}

/*** Element by element, with broadcasting; the operators + - * / // % ^ and the functions subtract, multiply,
divide, floor_divide, mod, pow, maximum and minimum alike. equal, not_equal, less, less_equal, greater and
greater_equal give uint8 0 or 1. Numbers and nested tables may stand for tensors.
@function add */
static int binary(lua_State *L) {
    lua_settop(L, 2);
    return lcnn_apply_binary(L, (cnn_binary_op)lcnn_upvalue_op(L), 1, 2);
}

/*** Element by element; abs, sign, square, sqrt, log, log1p, sin, cos, tanh, sigmoid, relu, floor, ceil,
round, reciprocal and isnan alike.
@function exp */
static int unary(lua_State *L) {
    return lcnn_apply_unary(L, (cnn_unary_op)lcnn_upvalue_op(L), 1);
}

/* A bit mask of axes from nil, a number or a list at arg. */
static unsigned check_axes(lua_State *L, int arg, int rank, const char *who) {
    if (lua_isnoneornil(L, arg)) return 0;
    int64_t list[CNN_MAX_RANK];
    int count = lcnn_check_list(L, arg, who, "axis", list);
    unsigned axes = 0;
    for (int i = 0; i < count; i++) {
        unsigned axis = 1u << lcnn_check_axis(L, list[i], rank, who);
        if (axes & axis) lcnn_fail(L, "%s: axis %I is given twice", who, (LUAI_UACINT)list[i]);
        axes |= axis;
    }
    return axes;
}

static bool opt_boolean(lua_State *L, int arg, const char *who, const char *name) {
    if (!lua_isnoneornil(L, arg) && !lua_isboolean(L, arg))
        lcnn_fail(L, "%s: '%s' must be true or false, got %s", who, name, luaL_tolstring(L, arg, NULL));
    return lua_toboolean(L, arg);
}

static const char *const reduce_names[] = {"*axis", "keepdims", NULL};

/*** Over all axes, one, or several: t:sum(), t:sum(axis), t:sum{axis, axis}, t:sum{axis, keepdims = true};
mean, max, min, prod, std, var, argmax and argmin alike. The positions that argmax and argmin give count from
1: classes numbered from 0 are t:argmax(2) - 1.
@function sum */
static int reduce(lua_State *L) {
    const char *who = lcnn_upvalue_name(L);
    int rank = lcnn_to_tensor(L, 1)->rank;
    lcnn_args(L, 2, who, reduce_names);
    unsigned axes = check_axes(L, 2, rank, who);
    return lcnn_apply_reduce(L, (cnn_reduce_op)lcnn_upvalue_op(L), 1, axes,
                             opt_boolean(L, 3, who, "keepdims"));
}

/*** t:any() and t:all() are booleans; with an axis they are uint8 tensors.
@function any */
static int any_or_all(lua_State *L) {
    const char *who = lcnn_upvalue_name(L);
    int op = lcnn_upvalue_op(L);
    int rank = lcnn_to_tensor(L, 1)->rank;
    lcnn_args(L, 2, who, reduce_names);
    unsigned axes = check_axes(L, 2, rank, who);
    bool keepdims = opt_boolean(L, 3, who, "keepdims");
    lua_pushinteger(L, 0);
    lcnn_apply_binary(L, CNN_NOT_EQUAL, 1, 4);
    lua_replace(L, 1);
    if (lcnn_check_eager(L, 1, who)->size == 0 && axes == 0) {
        lua_pushboolean(L, op == CNN_MIN);
        return 1;
    }
    lcnn_apply_reduce(L, (cnn_reduce_op)op, 1, axes, keepdims);
    if (axes == 0 && !keepdims) lua_pushboolean(L, cnn_tensor_get(lcnn_check_tensor(L, -1), 0) != 0);
    return 1;
}

/* < and <= have to give one boolean, so they take tensors of one element. */
static double check_scalar(lua_State *L, int arg) {
    if (lua_type(L, arg) == LUA_TNUMBER) return lua_tonumber(L, arg);
    cnn_tensor *t = lcnn_check_eager(L, arg, "comparison");
    if (t->size != 1)
        lcnn_fail(L,
                  "comparison: < and <= take tensors of 1 element, not %I; less, less_equal, greater and "
                  "greater_equal compare element by element",
                  (LUAI_UACINT)t->size);
    return cnn_tensor_get(t, 0);
}

static int less_than(lua_State *L) {
    lua_pushboolean(L, check_scalar(L, 1) < check_scalar(L, 2));
    return 1;
}

static int less_equal(lua_State *L) {
    lua_pushboolean(L, check_scalar(L, 1) <= check_scalar(L, 2));
    return 1;
}

/* ---- shapes -------------------------------------------------------------------------------------------- */

/* Integers from a table at arg 2 or from all arguments: t:reshape{2, 3}, t:reshape(2, 3). */
static int list_from(lua_State *L, const char *who, const char *what, int64_t *list) {
    if (lua_gettop(L) > 2) {
        int count = lua_gettop(L) - 1;
        if (count > CNN_MAX_RANK)
            lcnn_fail(L, "%s: '%s' may have at most %d numbers", who, what, CNN_MAX_RANK);
        lua_createtable(L, count, 0);
        lua_insert(L, 2);
        for (int i = count; i >= 1; i--) lua_rawseti(L, 2, i);
    }
    lua_settop(L, 2);
    return lcnn_check_list(L, 2, who, what, list);
}

/*** t:reshape{2, -1}: the same elements, sharing memory, in another shape; one size may be -1.
@function reshape */
static int reshape(lua_State *L) {
    int64_t sizes[CNN_MAX_RANK];
    cnn_tensor *out = NULL;
    lcnn_to_tensor(L, 1);
    int count = list_from(L, "reshape", "shape", sizes);
    return lcnn_push_result(L, cnn_reshape(&out, lcnn_check_tensor(L, 1), count, sizes), &out);
}

/*** The same elements, sharing memory, on one axis.
@function flatten */
static int flatten(lua_State *L) {
    cnn_tensor *out = NULL;
    lcnn_to_tensor(L, 1);
    return lcnn_push_result(L, cnn_reshape(&out, lcnn_check_tensor(L, 1), 1, (int64_t[]){-1}), &out);
}

/*** t:transpose() reverses the axes, t:transpose{2, 1, 3} orders them.
@function transpose */
static int transpose(lua_State *L) {
    cnn_tensor *out = NULL;
    int64_t list[CNN_MAX_RANK];
    int axes[CNN_MAX_RANK], dims = lcnn_to_tensor(L, 1)->rank;
    bool given = !lua_isnoneornil(L, 2);
    int count = given ? list_from(L, "transpose", "axes", list) : dims;
    if (count != dims) lcnn_fail(L, "transpose: a tensor of rank %d takes as many axes, got %d", dims, count);
    unsigned seen = 0;
    for (int i = 0; given && i < count; i++) {
        axes[i] = lcnn_check_axis(L, list[i], dims, "transpose");
        if (seen >> axes[i] & 1) lcnn_fail(L, "transpose: axis %I is given twice", (LUAI_UACINT)list[i]);
        seen |= 1u << axes[i];
    }
    return lcnn_push_result(L, cnn_transpose(&out, lcnn_check_tensor(L, 1), given ? axes : NULL), &out);
}

/*** t:squeeze(): without the axes of size 1; t:squeeze(axis) without that one.
@function squeeze */
static int squeeze(lua_State *L) {
    cnn_tensor *t = lcnn_to_tensor(L, 1), *out = NULL;
    if (!lua_isnoneornil(L, 2)) {
        int axis = lcnn_check_axis(L, luaL_checkinteger(L, 2), t->rank, "squeeze");
        if (t->shape[axis] != 1)
            lcnn_fail(L, "squeeze: axis %d must have size 1, has %I", axis + 1, (LUAI_UACINT)t->shape[axis]);
        return lcnn_push_result(L, cnn_squeeze(&out, t, axis), &out);
    }
    int64_t kept[CNN_MAX_RANK];
    int count = 0;
    for (int i = 0; i < t->rank; i++)
        if (t->shape[i] != 1) kept[count++] = t->shape[i];
    return lcnn_push_result(L, cnn_reshape(&out, t, count, kept), &out);
}

/*** t:expand_dims(axis): with a new axis of size 1 in that place.
@function expand_dims */
static int expand_dims(lua_State *L) {
    cnn_tensor *t = lcnn_to_tensor(L, 1), *out = NULL;
    int axis = lcnn_check_axis(L, luaL_checkinteger(L, 2), t->rank + 1, "expand_dims");
    return lcnn_push_result(L, cnn_expand_dims(&out, t, axis), &out);
}

/*** t:flip(): every axis reversed; t:flip(axis), t:flip{axis, axis} those.
@function flip */
static int flip(lua_State *L) {
    cnn_tensor *t = lcnn_to_tensor(L, 1), *out = NULL;
    unsigned axes = check_axes(L, 2, t->rank, "flip");
    if (lua_isnoneornil(L, 2)) axes = ~0u;
    out = cnn_tensor_retain(t);
    cnn_status status = CNN_OK;
    for (int i = 0; i < t->rank && status == CNN_OK; i++) {
        if (!(axes >> i & 1)) continue;
        cnn_tensor *flipped = NULL;
        status = cnn_flip(&flipped, out, i);
        if (status != CNN_OK) break;
        cnn_tensor_release(out);
        out = flipped;
    }
    if (status != CNN_OK) cnn_tensor_release(out);
    if (status == CNN_OK && out == t) {
        cnn_tensor_release(out);
        status = cnn_copy(&out, t);
    }
    return lcnn_push_result(L, status, &out);
}

/*** t:pad(1), t:pad{{1, 2}, {0, 0}}, t:pad{1, 2, value = 3}: elements before and after on each axis.
@function pad */
static int pad(lua_State *L) {
    int dims = lcnn_to_tensor(L, 1)->rank;
    int64_t before[CNN_MAX_RANK], after[CNN_MAX_RANK], pair[CNN_MAX_RANK];
    lua_settop(L, 3);
    if (lua_type(L, 2) == LUA_TTABLE && lua_isnil(L, 3)) {
        lua_getfield(L, 2, "value");
        lua_replace(L, 3);
    }
    double value = lua_isnil(L, 3) ? 0 : lcnn_check_number(L, 3, "pad", "value");
    bool each = lua_type(L, 2) == LUA_TTABLE;
    if (each && lua_rawlen(L, 2) != (lua_Unsigned)dims)
        lcnn_fail(L, "pad: a tensor of rank %d takes as many pairs, got %d", dims, (int)lua_rawlen(L, 2));
    for (int i = 0; i < dims; i++) {
        if (each)
            lua_rawgeti(L, 2, i + 1);
        else
            lua_pushvalue(L, 2);
        int count = lcnn_check_list(L, -1, "pad", "pad_width", pair);
        if (count != 1 && count != 2)
            lcnn_fail(L, "pad: each axis takes a number or a pair of numbers, got %d numbers", count);
        before[i] = pair[0];
        after[i] = pair[count - 1];
        if (before[i] < 0 || after[i] < 0)
            lcnn_fail(L, "pad: the widths on axis %d must not be negative", i + 1);
        lua_pop(L, 1);
    }
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_pad(&out, lcnn_check_tensor(L, 1), before, after, value), &out);
}

/*** t:tile{2, 3}: repeated so many times along each axis.
@function tile */
static int tile(lua_State *L) {
    int dims = lcnn_to_tensor(L, 1)->rank;
    int64_t times[CNN_MAX_RANK];
    int count = list_from(L, "tile", "repeats", times);
    if (count != dims) lcnn_fail(L, "tile: a tensor of rank %d takes as many numbers, got %d", dims, count);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_tile(&out, lcnn_check_tensor(L, 1), times), &out);
}

/*** A copy broadcast to a shape: t:broadcast_to{2, 3}.
@function broadcast_to */
static int broadcast_to(lua_State *L) {
    int64_t sizes[CNN_MAX_RANK];
    lcnn_to_tensor(L, 1);
    int count = list_from(L, "broadcast_to", "shape", sizes);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_broadcast_to(&out, lcnn_check_tensor(L, 1), count, sizes), &out);
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

/*** t:astype "float32": a copy of that dtype.
@function astype */
static int as_type(lua_State *L) {
    luaL_checkany(L, 2);
    cnn_tensor *out = NULL, *t = lcnn_check_tensor(L, 1);
    return lcnn_push_result(L, cnn_cast(&out, t, lcnn_opt_dtype(L, 2, "astype", t->dtype)), &out);
}

/*** A copy with memory of its own.
@function copy */
static int copy(lua_State *L) {
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_copy(&out, lcnn_check_tensor(L, 1)), &out);
}

/*** t:clip(low, high): either may be nil.
@function clip */
static int clip(lua_State *L) {
    static const char *const names[] = {"min", "max", NULL};
    lcnn_to_tensor(L, 1);
    lcnn_args(L, 2, "clip", names);
    double low = lua_isnil(L, 2) ? -HUGE_VAL : lcnn_check_number(L, 2, "clip", "min");
    double high = lua_isnil(L, 3) ? HUGE_VAL : lcnn_check_number(L, 3, "clip", "max");
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_clip(&out, lcnn_check_tensor(L, 1), low, high), &out);
}

/*** The matrix product, of vectors and with leading axes as in NumPy; also `dot`.
@function matmul */
static int matmul(lua_State *L) {
    lcnn_to_tensor(L, 1);
    lcnn_to_tensor(L, 2);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_matmul(&out, lcnn_check_tensor(L, 1), lcnn_check_tensor(L, 2)), &out);
}

/*** cnn.where(condition, a, b): a where the condition is not 0, else b.
@function where */
static int where(lua_State *L) {
    static const char *const names[] = {"condition", "a", "b", NULL};
    lcnn_args(L, 1, "where", names);
    lcnn_to_tensor(L, 1);
    /* A number takes the other's dtype if it fits there. */
    for (int i = 2; i <= 3; i++) {
        cnn_tensor *other = lcnn_test_tensor(L, 5 - i);
        bool fits = other && (other->dtype == CNN_INT32 || other->dtype == CNN_UINT8) &&
                    lua_isinteger(L, i) &&
                    lua_tointeger(L, i) >= (other->dtype == CNN_UINT8 ? 0 : INT32_MIN) &&
                    lua_tointeger(L, i) <= (other->dtype == CNN_UINT8 ? 255 : INT32_MAX);
        lcnn_to_dtype(L, i, fits ? (int)other->dtype : -1);
    }
    cnn_tensor *out = NULL;
    cnn_status status =
        cnn_where(&out, lcnn_check_tensor(L, 1), lcnn_check_tensor(L, 2), lcnn_check_tensor(L, 3));
    return lcnn_push_result(L, status, &out);
}

/*** cnn.allclose(a, b [, rtol [, atol]]): |a-b| ≤ atol + rtol·|b| everywhere; 1e-5 and 1e-8.
@function allclose */
static int allclose(lua_State *L) {
    static const char *const names[] = {"a", "b", "rtol", "atol", NULL};
    lcnn_args(L, 1, "allclose", names);
    lcnn_to_tensor(L, 1);
    lcnn_to_tensor(L, 2);
    double rtol = lua_isnil(L, 3) ? 1e-5 : lcnn_check_number(L, 3, "allclose", "rtol");
    double atol = lua_isnil(L, 4) ? 1e-8 : lcnn_check_number(L, 4, "allclose", "atol");
    bool close = false;
    lcnn_check(L, cnn_allclose(&close, lcnn_check_tensor(L, 1), lcnn_check_tensor(L, 2), rtol, atol));
    lua_pushboolean(L, close);
    return 1;
}

typedef cnn_status join(cnn_tensor **out, const cnn_tensor *const *parts, int count, int axis);

/* The tensors listed at 1, put together along the axis at 2 (1). */
static int join_parts(lua_State *L, const char *who, join *run, int more_axes) {
    static const char *const names[] = {"*tensors", "axis", NULL};
    lcnn_args(L, 1, who, names);
    if (lua_type(L, 1) != LUA_TTABLE)
        lcnn_fail(L, "%s: 'tensors' must be a list of tensors, got %s", who, luaL_tolstring(L, 1, NULL));
    lua_Unsigned count = lua_rawlen(L, 1);
    if (count == 0 || count > INT32_MAX) lcnn_fail(L, "%s: 'tensors' must hold at least one", who);
    lua_createtable(L, (int)count, 0); /* 3: keeps what is converted */
    for (int i = 1; i <= (int)count; i++) {
        lua_rawgeti(L, 1, i);
        int type = lua_type(L, 4);
        if (!lcnn_test_tensor(L, 4) && type != LUA_TTABLE && type != LUA_TNUMBER)
            lcnn_fail(L, "%s: element %d of 'tensors' must be a tensor, got a %s", who, i,
                      luaL_typename(L, 4));
        lcnn_to_tensor(L, 4);
        lua_rawseti(L, 3, i);
    }
    const cnn_tensor **parts = lua_newuserdatauv(L, count * sizeof *parts, 0);
    for (int i = 0; i < (int)count; i++) {
        lua_rawgeti(L, 3, i + 1);
        parts[i] = lcnn_check_tensor(L, -1);
        lua_pop(L, 1);
    }
    int whole = 1;
    lua_Integer axis = lua_isnil(L, 2) ? 1 : lua_tointegerx(L, 2, &whole);
    if (!whole) lcnn_fail(L, "%s: 'axis' must be an integer, got %s", who, luaL_tolstring(L, 2, NULL));
    cnn_tensor *out = NULL;
    int from_0 = lcnn_check_axis(L, axis, parts[0]->rank + more_axes, who);
    return lcnn_push_result(L, run(&out, parts, (int)count, from_0), &out);
}

/*** cnn.concat({a, b} [, axis]), cnn.concat{a, b, axis = 2}: along an axis they have.
@function concat */
static int concat(lua_State *L) {
    return join_parts(L, "concat", cnn_concat, 0);
}

/*** cnn.stack({a, b} [, axis]): along a new axis.
@function stack */
static int stack(lua_State *L) {
    return join_parts(L, "stack", cnn_stack, 1);
}

/* ---- registration -------------------------------------------------------------------------------------- */

/* Both t:exp() and cnn.exp(t); as functions of the module they take numbers and nested tables too. */
static const lcnn_entry shared[] = {
    {"astype", as_type, 0},
    {"copy", copy, 0},
    {"flatten", flatten, 0},
    {"reshape", reshape, 0},
    {"transpose", transpose, 0},
    {"squeeze", squeeze, 0},
    {"expand_dims", expand_dims, 0},
    {"flip", flip, 0},
    {"pad", pad, 0},
    {"tile", tile, 0},
    {"broadcast_to", broadcast_to, 0},
    {"clip", clip, 0},
    {"matmul", matmul, 0},
    {"dot", matmul, 0},
    {"allclose", allclose, 0},
    {"add", binary, CNN_ADD},
    {"subtract", binary, CNN_SUB},
    {"multiply", binary, CNN_MUL},
    {"divide", binary, CNN_DIV},
    {"floor_divide", binary, CNN_FLOORDIV},
    {"mod", binary, CNN_MOD},
    {"pow", binary, CNN_POW},
    {"maximum", binary, CNN_MAXIMUM},
    {"minimum", binary, CNN_MINIMUM},
    {"equal", binary, CNN_EQUAL},
    {"not_equal", binary, CNN_NOT_EQUAL},
    {"less", binary, CNN_LESS},
    {"less_equal", binary, CNN_LESS_EQUAL},
    {"greater", binary, CNN_GREATER},
    {"greater_equal", binary, CNN_GREATER_EQUAL},
    {"abs", unary, CNN_ABS},
    {"sign", unary, CNN_SIGN},
    {"square", unary, CNN_SQUARE},
    {"sqrt", unary, CNN_SQRT},
    {"exp", unary, CNN_EXP},
    {"log", unary, CNN_LOG},
    {"log1p", unary, CNN_LOG1P},
    {"sin", unary, CNN_SIN},
    {"cos", unary, CNN_COS},
    {"tanh", unary, CNN_TANH},
    {"sigmoid", unary, CNN_SIGMOID},
    {"relu", unary, CNN_RELU},
    {"floor", unary, CNN_FLOOR},
    {"ceil", unary, CNN_CEIL},
    {"round", unary, CNN_ROUND},
    {"reciprocal", unary, CNN_RECIPROCAL},
    {"isnan", unary, CNN_ISNAN},
    {"sum", reduce, CNN_SUM},
    {"mean", reduce, CNN_MEAN},
    {"max", reduce, CNN_MAX},
    {"min", reduce, CNN_MIN},
    {"prod", reduce, CNN_PROD},
    {"std", reduce, CNN_STD},
    {"var", reduce, CNN_VAR},
    {"argmax", reduce, CNN_ARGMAX},
    {"argmin", reduce, CNN_ARGMIN},
    {"any", any_or_all, CNN_MAX},
    {"all", any_or_all, CNN_MIN},
    {NULL, NULL, 0},
};

static const lcnn_entry metamethods[] = {
    {"__lt", less_than, 0},
    {"__le", less_equal, 0},
    {"__add", binary, CNN_ADD},
    {"__sub", binary, CNN_SUB},
    {"__mul", binary, CNN_MUL},
    {"__div", binary, CNN_DIV},
    {"__idiv", binary, CNN_FLOORDIV},
    {"__mod", binary, CNN_MOD},
    {"__pow", binary, CNN_POW},
    {"__unm", unary, CNN_NEG},
    {NULL, NULL, 0},
};

static const lcnn_entry module_functions[] = {
    {"concat", concat, 0}, {"concatenate", concat, 0}, {"stack", stack, 0}, {"where", where, 0},
    {NULL, NULL, 0},
};

int lcnn_open_arith(lua_State *L) {
    lcnn_add_methods(L, 1, shared);
    luaL_getmetatable(L, LCNN_TENSOR);
    lcnn_add_entries(L, metamethods);
    lcnn_push_methods(L);
    lua_getfield(L, -1, "transpose");
    lua_setfield(L, -2, "T");
    lua_settop(L, 1);
    lcnn_add_entries(L, module_functions);
    return 0;
}
