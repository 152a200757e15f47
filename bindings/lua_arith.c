/* Computing with tensors: operators, functions of elements, reductions, and shapes. Each function is a
 * method, t:exp(), and one of the module, cnn.exp(t), which also takes numbers and nested tables. Traced tensors (see
 * lua_op.h) go through ops, others directly to the tensor library; the values are the same. */
#include "lua_cnn.h"
#include "lua_op.h"
#include "ops/activation.h"
#include "ops/arith.h"
#include "ops/dense.h"
#include "ops/index.h"
#include "ops/piecewise.h"
#include "ops/shape.h"
#include "ops/tape_ops.h"

#include <math.h>

/* ---- traced arithmetic --------------------------------------------------------------------------------- */

/* The op of a function with a derivative; NULL for the others. */
static const cnn_op *op_of_binary(cnn_binary_op op) {
    switch (op) {
    case CNN_ADD:
        return &cnn_op_add;
    case CNN_SUB:
        return &cnn_op_subtract;
    case CNN_MUL:
        return &cnn_op_multiply;
    case CNN_DIV:
        return &cnn_op_divide;
    case CNN_POW:
        return &cnn_op_pow;
    case CNN_MAXIMUM:
        return &cnn_op_maximum;
    case CNN_MINIMUM:
        return &cnn_op_minimum;
    default:
        return NULL;
    }
}

static const cnn_op *op_of_unary(cnn_unary_op op) {
    switch (op) {
    case CNN_NEG:
        return &cnn_op_neg;
    case CNN_ABS:
        return &cnn_op_abs;
    case CNN_SQUARE:
        return &cnn_op_square;
    case CNN_SQRT:
        return &cnn_op_sqrt;
    case CNN_EXP:
        return &cnn_op_exp;
    case CNN_LOG:
        return &cnn_op_log;
    case CNN_LOG1P:
        return &cnn_op_log1p;
    case CNN_SIN:
        return &cnn_op_sin;
    case CNN_COS:
        return &cnn_op_cos;
    case CNN_TANH:
        return &cnn_op_tanh;
    case CNN_SIGMOID:
        return &cnn_op_sigmoid;
    case CNN_RELU:
        return &cnn_op_relu;
    default:
        return NULL;
    }
}

/* scale·x + offset of the tensor at a, sample by sample, unlike arithmetic with a scalar tensor. */
static int push_affine(lua_State *L, int a, double scale, double offset) {
    cnn_rescaling attributes = {.class = &cnn_op_rescaling.class, .scale = scale, .offset = offset};
    return lcnn_apply_1(L, &cnn_op_rescaling, &attributes, a);
}

/* The tensor at `tensor` with a number, in the ways that need no second operand; false if it is none of these. */
static bool push_with_number(lua_State *L, cnn_binary_op op, int tensor, double number, bool first) {
    bool symbolic = !lcnn_check_tensor(L, tensor)->data;
    if (op == CNN_ADD)
        push_affine(L, tensor, 1, number);
    else if (op == CNN_SUB)
        push_affine(L, tensor, first ? -1 : 1, first ? number : -number);
    else if (op == CNN_MUL)
        push_affine(L, tensor, number, 0);
    else if (op == CNN_DIV && !first && symbolic && number != 0)
        push_affine(L, tensor, 1 / number, 0);
    else if (op == CNN_POW && !first && number == 2)
        lcnn_apply_1(L, &cnn_op_square, NULL, tensor);
    else
        return false;
    return true;
}

/* [N,…,C] + [C] is the op that layers use, which knows samples. */
static bool adds_bias(cnn_binary_op op, const cnn_tensor *x, const cnn_tensor *y) {
    return op == CNN_ADD && x->rank > 1 && y->rank == 1 && x->dtype == CNN_FLOAT32 &&
           y->dtype == CNN_FLOAT32 && x->shape[x->rank - 1] == y->shape[0];
}

static int traced_binary(lua_State *L, cnn_binary_op op, int a, int b) {
    bool a_number = lua_type(L, a) == LUA_TNUMBER, b_number = lua_type(L, b) == LUA_TNUMBER;
    if (a_number && push_with_number(L, op, b, lua_tonumber(L, a), true)) return 1;
    if (b_number && push_with_number(L, op, a, lua_tonumber(L, b), false)) return 1;
    const cnn_tensor *x = lcnn_to_tensor(L, a), *y = lcnn_to_tensor(L, b);
    if (adds_bias(op, x, y)) return lcnn_apply_2(L, &cnn_op_bias_add, NULL, a, b);
    if (adds_bias(op, y, x)) return lcnn_apply_2(L, &cnn_op_bias_add, NULL, b, a);
    return lcnn_apply_2(L, op_of_binary(op), NULL, a, b);
}

/* Not float32: of whole numbers, which have no derivatives. */
static bool is_whole(lua_State *L, int index) {
    const cnn_tensor *t = lcnn_test_tensor(L, index);
    return t ? t->data && t->dtype != CNN_FLOAT32 : lua_isinteger(L, index);
}

/* The axes of a mask (0: all) as an op's argument. */
static cnn_reduction reduction_of(const cnn_op *op, unsigned axes, bool keepdims) {
    cnn_reduction r = {.class = &op->class, .axis.rank = axes ? 0 : -1, .keepdims = keepdims};
    for (int i = 0; i < CNN_MAX_RANK; i++)
        if (axes >> i & 1) r.axis.sizes[r.axis.rank++] = i;
    return r;
}

static int push_reduced(lua_State *L, const cnn_op *op, int a, unsigned axes, bool keepdims) {
    cnn_reduction attributes = reduction_of(op, axes, keepdims);
    return lcnn_apply_1(L, op, &attributes, a);
}

/* The mean of (x - mean)²; its root. */
static int push_variance(lua_State *L, int a, unsigned axes, bool keepdims, bool root) {
    push_reduced(L, &cnn_op_mean, a, axes, true);
    lcnn_apply_2(L, &cnn_op_subtract, NULL, a, lua_gettop(L));
    lcnn_apply_1(L, &cnn_op_square, NULL, lua_gettop(L));
    push_reduced(L, &cnn_op_mean, lua_gettop(L), axes, keepdims);
    return root ? lcnn_apply_1(L, &cnn_op_sqrt, NULL, lua_gettop(L)) : 1;
}

static bool traced_reduce(lua_State *L, cnn_reduce_op op, int a, unsigned axes, bool keepdims) {
    switch (op) {
    case CNN_SUM:
        return push_reduced(L, &cnn_op_sum, a, axes, keepdims);
    case CNN_MEAN:
        return push_reduced(L, &cnn_op_mean, a, axes, keepdims);
    case CNN_MAX:
        return push_reduced(L, &cnn_op_max, a, axes, keepdims);
    case CNN_MIN:
        return push_reduced(L, &cnn_op_min, a, axes, keepdims);
    case CNN_STD:
    case CNN_VAR:
        return push_variance(L, a, axes, keepdims, op == CNN_STD);
    default:
        return false;
    }
}

/* ---- the three ways to compute ------------------------------------------------------------------------- */

static const char *const binary_names[] = {[CNN_ADD] = "add",
                                           [CNN_SUB] = "subtract",
                                           [CNN_MUL] = "multiply",
                                           [CNN_DIV] = "divide",
                                           [CNN_POW] = "pow",
                                           [CNN_MOD] = "mod",
                                           [CNN_FLOORDIV] = "floor_divide",
                                           [CNN_MAXIMUM] = "maximum",
                                           [CNN_MINIMUM] = "minimum"};
static const char *const unary_names[] = {
    [CNN_NEG] = "negative", [CNN_ABS] = "abs",     [CNN_SIGN] = "sign",   [CNN_FLOOR] = "floor",
    [CNN_CEIL] = "ceil",    [CNN_ROUND] = "round", [CNN_ISNAN] = "isnan", [CNN_SQUARE] = "square"};
static const char *const reduce_op_names[] = {
    [CNN_SUM] = "sum", [CNN_MEAN] = "mean",     [CNN_MAX] = "max",
    [CNN_MIN] = "min", [CNN_PROD] = "prod",     [CNN_STD] = "std",
    [CNN_VAR] = "var", [CNN_ARGMAX] = "argmax", [CNN_ARGMIN] = "argmin"};

static int direct_binary(lua_State *L, cnn_binary_op op, int a, int b) {
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

/* Comparisons are constants to a tape; remainders, and results in whole numbers, have no derivative. */
int lcnn_apply_binary(lua_State *L, cnn_binary_op op, int a, int b) {
    bool a_traced = lcnn_traced(L, a), b_traced = lcnn_traced(L, b);
    if (!a_traced && !b_traced) return direct_binary(L, op, a, b);
    bool whole = op != CNN_DIV && op != CNN_POW && is_whole(L, a) && is_whole(L, b);
    if (op_of_binary(op) && !whole) return traced_binary(L, op, a, b);
    direct_binary(L, op, a, b);
    if (op >= CNN_EQUAL) return 1;
    if (a_traced) lcnn_no_gradient(L, binary_names[op], a);
    if (b_traced) lcnn_no_gradient(L, binary_names[op], b);
    return 1;
}

int lcnn_apply_unary(lua_State *L, cnn_unary_op op, int a) {
    cnn_tensor *out = NULL;
    bool traced = lcnn_traced(L, a);
    if (traced && op_of_unary(op) && !is_whole(L, a)) return lcnn_apply_1(L, op_of_unary(op), NULL, a);
    if (traced && op == CNN_RECIPROCAL) {
        lua_pushinteger(L, 1);
        return traced_binary(L, CNN_DIV, lua_gettop(L), a);
    }
    lcnn_to_tensor(L, a);
    lcnn_push_result(L, cnn_unary(&out, op, lcnn_check_tensor(L, a)), &out);
    if (traced && op != CNN_ISNAN)
        lcnn_no_gradient(L, unary_names[op] ? unary_names[op] : "a function of integers", a);
    return 1;
}

static int direct_reduce(lua_State *L, cnn_reduce_op op, int a, unsigned axes, bool keepdims) {
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

int lcnn_apply_reduce(lua_State *L, cnn_reduce_op op, int a, unsigned axes, bool keepdims) {
    if (!lcnn_traced(L, a)) return direct_reduce(L, op, a, axes, keepdims);
    if (!is_whole(L, a) && traced_reduce(L, op, a, axes, keepdims)) return 1;
    direct_reduce(L, op, a, axes, keepdims);
    return lcnn_no_gradient(L, reduce_op_names[op], a);
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
                             lcnn_opt_boolean(L, 3, who, "keepdims", false));
}

/*** t:any() and t:all() are booleans; with an axis they are uint8 tensors.
@function any */
static int any_or_all(lua_State *L) {
    const char *who = lcnn_upvalue_name(L);
    int op = lcnn_upvalue_op(L);
    int rank = lcnn_to_tensor(L, 1)->rank;
    lcnn_args(L, 2, who, reduce_names);
    unsigned axes = check_axes(L, 2, rank, who);
    bool keepdims = lcnn_opt_boolean(L, 3, who, "keepdims", false);
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
    lcnn_to_tensor(L, 1);
    int count = list_from(L, "reshape", "shape", sizes);
    return lcnn_apply_reshape(L, 1, count, sizes);
}

/*** The same elements, sharing memory, on one axis.
@function flatten */
static int flatten(lua_State *L) {
    lcnn_to_tensor(L, 1);
    return lcnn_apply_reshape(L, 1, 1, (int64_t[]){-1});
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
    if (lcnn_traced(L, 1)) {
        cnn_transpose_op attributes = {.class = &cnn_op_transpose.class, .axes.rank = given ? count : -1};
        for (int i = 0; given && i < count; i++) attributes.axes.sizes[i] = axes[i];
        return lcnn_apply_1(L, &cnn_op_transpose, &attributes, 1);
    }
    return lcnn_push_result(L, cnn_transpose(&out, lcnn_check_tensor(L, 1), given ? axes : NULL), &out);
}

/*** t:squeeze(): without the axes of size 1; t:squeeze(axis) without that one.
@function squeeze */
static int squeeze(lua_State *L) {
    const cnn_tensor *t = lcnn_to_tensor(L, 1);
    int64_t kept[CNN_MAX_RANK];
    int count = 0, axis = -1;
    if (!lua_isnoneornil(L, 2)) {
        axis = lcnn_check_axis(L, luaL_checkinteger(L, 2), t->rank, "squeeze");
        if (t->shape[axis] != 1)
            lcnn_fail(L, "squeeze: axis %d must have size 1, has %I", axis + 1, (LUAI_UACINT)t->shape[axis]);
    }
    for (int i = 0; i < t->rank; i++)
        if (axis < 0 ? t->shape[i] != 1 : i != axis) kept[count++] = t->shape[i];
    return lcnn_apply_reshape(L, 1, count, kept);
}

/*** t:expand_dims(axis): with a new axis of size 1 in that place.
@function expand_dims */
static int expand_dims(lua_State *L) {
    const cnn_tensor *t = lcnn_to_tensor(L, 1);
    int axis = lcnn_check_axis(L, luaL_checkinteger(L, 2), t->rank + 1, "expand_dims");
    int64_t sizes[CNN_MAX_RANK + 1];
    for (int i = 0; i <= t->rank; i++) sizes[i] = i < axis ? t->shape[i] : i == axis ? 1 : t->shape[i - 1];
    if (t->rank == CNN_MAX_RANK) lcnn_fail(L, "expand_dims: a tensor has at most %d axes", CNN_MAX_RANK);
    return lcnn_apply_reshape(L, 1, t->rank + 1, sizes);
}

/* Replaces the tensor at 1 by what it is at these positions along the axis; int32, from 0, on the top. */
static void gather_in_place(lua_State *L, int axis) {
    cnn_gather_op attributes = {.class = &cnn_op_gather.class, .axis = axis};
    lcnn_apply_2(L, &cnn_op_gather, &attributes, 1, lua_gettop(L));
    lua_replace(L, 1);
    lua_pop(L, 1);
}

static int64_t known_size(lua_State *L, int axis, const char *who) {
    int64_t size = lcnn_check_tensor(L, 1)->shape[axis];
    if (size < 0) lcnn_fail(L, "%s: the size of axis %d is not known yet", who, axis + 1);
    return size;
}

/* An int32 vector on the top, to be filled. */
static int32_t *push_positions(lua_State *L, int64_t count) {
    cnn_tensor *positions = NULL;
    lcnn_push_result(L, cnn_tensor_new(&positions, CNN_INT32, 1, &count), &positions);
    return cnn_i32(positions);
}

static int traced_flip(lua_State *L, int dims, unsigned axes) {
    for (int axis = 0; axis < dims; axis++) {
        if (!(axes >> axis & 1)) continue;
        int64_t size = known_size(L, axis, "flip");
        int32_t *positions = push_positions(L, size);
        for (int64_t i = 0; i < size; i++) positions[i] = (int32_t)(size - 1 - i);
        gather_in_place(L, axis);
    }
    lua_settop(L, 1);
    return 1;
}

/*** t:flip(): every axis reversed; t:flip(axis), t:flip{axis, axis} those.
@function flip */
static int flip(lua_State *L) {
    cnn_tensor *t = lcnn_to_tensor(L, 1), *out = NULL;
    unsigned axes = check_axes(L, 2, t->rank, "flip");
    if (lua_isnoneornil(L, 2)) axes = ~0u;
    if (lcnn_traced(L, 1)) return traced_flip(L, t->rank, axes);
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
    if (lcnn_traced(L, 1)) {
        cnn_pad_op attributes = {
            .class = &cnn_op_pad.class, .before.rank = dims, .after.rank = dims, .value = value};
        for (int i = 0; i < dims; i++) {
            attributes.before.sizes[i] = before[i];
            attributes.after.sizes[i] = after[i];
        }
        return lcnn_apply_1(L, &cnn_op_pad, &attributes, 1);
    }
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_pad(&out, lcnn_check_tensor(L, 1), before, after, value), &out);
}

static int traced_tile(lua_State *L, int dims, const int64_t *times) {
    for (int axis = 0; axis < dims; axis++) {
        if (times[axis] == 1) continue;
        int64_t size = known_size(L, axis, "tile"), count = 0;
        if (times[axis] < 0 || __builtin_mul_overflow(size, times[axis], &count) || count > INT32_MAX)
            lcnn_fail(L, "tile: axis %d cannot be repeated %I times", axis + 1, (LUAI_UACINT)times[axis]);
        int32_t *positions = push_positions(L, count);
        for (int64_t i = 0; i < count; i++) positions[i] = (int32_t)(i % size);
        gather_in_place(L, axis);
    }
    lua_settop(L, 1);
    return 1;
}

/*** t:tile{2, 3}: repeated so many times along each axis.
@function tile */
static int tile(lua_State *L) {
    int dims = lcnn_to_tensor(L, 1)->rank;
    int64_t times[CNN_MAX_RANK];
    int count = list_from(L, "tile", "repeats", times);
    if (count != dims) lcnn_fail(L, "tile: a tensor of rank %d takes as many numbers, got %d", dims, count);
    if (lcnn_traced(L, 1)) return traced_tile(L, dims, times);
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
    if (lcnn_traced(L, 1)) {
        lcnn_push_result(L, cnn_tensor_full(&out, CNN_FLOAT32, count, sizes, 1), &out);
        if (out->rank < lcnn_check_tensor(L, 1)->rank)
            lcnn_fail(L, "broadcast_to: a tensor cannot lose axes");
        return lcnn_apply_2(L, &cnn_op_multiply, NULL, 1, lua_gettop(L));
    }
    return lcnn_push_result(L, cnn_broadcast_to(&out, lcnn_check_tensor(L, 1), count, sizes), &out);
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

/*** t:astype "float32": a copy of that dtype.
@function astype */
static int as_type(lua_State *L) {
    luaL_checkany(L, 2);
    cnn_tensor *out = NULL, *t = lcnn_check_tensor(L, 1);
    cnn_dtype dtype = lcnn_opt_dtype(L, 2, "astype", t->dtype);
    bool traced = lcnn_traced(L, 1);
    if (traced && dtype == CNN_FLOAT32) {
        if (t->dtype == CNN_FLOAT32) return push_affine(L, 1, 1, 0);
        lua_settop(L, 1);
        lcnn_to_float(L, 1);
        return 1;
    }
    lcnn_push_result(L, cnn_cast(&out, t, dtype), &out);
    return traced ? lcnn_no_gradient(L, "astype", 1) : 1;
}

/*** A copy with memory of its own; also `read`, of variables.
@function copy */
static int copy(lua_State *L) {
    cnn_tensor *out = NULL;
    if (lcnn_traced(L, 1) && lcnn_check_tensor(L, 1)->dtype == CNN_FLOAT32) return push_affine(L, 1, 1, 0);
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
    if (lcnn_traced(L, 1) && !is_whole(L, 1)) {
        cnn_clip_op attributes = {.class = &cnn_op_clip.class,
                                  .low = lua_isnil(L, 2) ? NAN : low,
                                  .high = lua_isnil(L, 3) ? NAN : high};
        return lcnn_apply_1(L, &cnn_op_clip, &attributes, 1);
    }
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_clip(&out, lcnn_check_tensor(L, 1), low, high), &out);
}

/* The op multiplies matrices: vectors become such, and x with leading axes by one matrix becomes one; other products
 * with leading axes are left. */
static int traced_matmul(lua_State *L) {
    const cnn_tensor *x = lcnn_check_tensor(L, 1), *y = lcnn_check_tensor(L, 2);
    int64_t shape[CNN_MAX_RANK];
    int rank = 0;
    if (x->rank == 0 || y->rank == 0) lcnn_fail(L, "matmul: a scalar cannot take part; multiply with *");
    if (y->rank > 2)
        lcnn_fail(L, "matmul: under a gradient tape, and in models, the second operand has at most 2 axes");
    for (int i = 0; i < x->rank - 1; i++) shape[rank++] = x->shape[i];
    if (y->rank == 2) shape[rank++] = y->shape[1];
    int y_rank = y->rank;
    int64_t columns = x->shape[x->rank - 1], rows = y->shape[0];
    bool product = x->rank == 2 && y_rank == 2;
    if (product) return lcnn_apply_2(L, &cnn_op_matmul, NULL, 1, 2);
    lcnn_apply_reshape(L, 1, 2, (int64_t[]){-1, columns});
    lua_replace(L, 1);
    if (y_rank == 1) {
        lcnn_apply_reshape(L, 2, 2, (int64_t[]){rows, 1});
        lua_replace(L, 2);
    }
    lcnn_apply_2(L, &cnn_op_matmul, NULL, 1, 2);
    return lcnn_apply_reshape(L, lua_gettop(L), rank, shape);
}

/*** The matrix product, of vectors and with leading axes as in NumPy; also `dot`.
@function matmul */
static int matmul(lua_State *L) {
    lcnn_to_tensor(L, 1);
    lcnn_to_tensor(L, 2);
    if (lcnn_traced(L, 1) || lcnn_traced(L, 2)) return traced_matmul(L);
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
    if (lcnn_traced(L, 2) || lcnn_traced(L, 3) || !lcnn_check_tensor(L, 1)->data) {
        const int inputs[] = {1, 2, 3};
        return lcnn_apply_op(L, &cnn_op_where, NULL, inputs, 3);
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

/* Puts what is listed in the table at 1 on the stack from 3 on, as tensors; returns how many. */
static int push_parts(lua_State *L, const char *who) {
    static const char *const names[] = {"*tensors", "axis", NULL};
    lcnn_args(L, 1, who, names);
    if (lua_type(L, 1) != LUA_TTABLE)
        lcnn_fail(L, "%s: 'tensors' must be a list of tensors, got %s", who, luaL_tolstring(L, 1, NULL));
    lua_Unsigned count = lua_rawlen(L, 1);
    if (count == 0 || count > 1000000) lcnn_fail(L, "%s: 'tensors' must hold at least one", who);
    luaL_checkstack(L, (int)count + 8, who);
    for (int i = 1; i <= (int)count; i++) {
        lua_rawgeti(L, 1, i);
        int type = lua_type(L, -1), place = lua_gettop(L);
        if (!lcnn_test_tensor(L, -1) && type != LUA_TTABLE && type != LUA_TNUMBER)
            lcnn_fail(L, "%s: element %d of 'tensors' must be a tensor, got a %s", who, i,
                      luaL_typename(L, -1));
        lcnn_to_tensor(L, place);
    }
    return (int)count;
}

static int traced_join(lua_State *L, bool stacked, int count, int axis) {
    int inputs[CNN_MAX_INPUTS];
    if (count > CNN_MAX_INPUTS)
        lcnn_fail(L, "%s: at most %d tensors under a gradient tape and in models, got %d",
                  stacked ? "stack" : "concat", CNN_MAX_INPUTS, count);
    for (int i = 0; i < count; i++) inputs[i] = 3 + i;
    cnn_concatenate joining = {.class = &cnn_op_concatenate.class, .axis = axis};
    cnn_stack_op stacking = {.class = &cnn_op_stack.class, .axis = axis};
    return lcnn_apply_op(L, stacked ? &cnn_op_stack : &cnn_op_concatenate,
                         stacked ? (void *)&stacking : (void *)&joining, inputs, count);
}

/* The tensors listed at 1, put together along the axis at 2 (1). */
static int join(lua_State *L, const char *who, bool stacked) {
    int count = push_parts(L, who), whole = 1;
    bool traced = false;
    lua_Integer axis = lua_isnil(L, 2) ? 1 : lua_tointegerx(L, 2, &whole);
    if (!whole) lcnn_fail(L, "%s: 'axis' must be an integer, got %s", who, luaL_tolstring(L, 2, NULL));
    int from_0 = lcnn_check_axis(L, axis, lcnn_check_tensor(L, 3)->rank + stacked, who);
    for (int i = 0; i < count && !traced; i++) traced = lcnn_traced(L, 3 + i) && !is_whole(L, 3 + i);
    if (traced) return traced_join(L, stacked, count, from_0);
    const cnn_tensor **parts = lua_newuserdatauv(L, (size_t)count * sizeof *parts, 0);
    for (int i = 0; i < count; i++) parts[i] = lcnn_check_tensor(L, 3 + i);
    cnn_tensor *out = NULL;
    cnn_status status =
        stacked ? cnn_stack(&out, parts, count, from_0) : cnn_concat(&out, parts, count, from_0);
    return lcnn_push_result(L, status, &out);
}

/*** cnn.concat({a, b} [, axis]), cnn.concat{a, b, axis = 2}: along an axis they have.
@function concat */
static int concat(lua_State *L) {
    return join(L, "concat", false);
}

/*** cnn.stack({a, b} [, axis]): along a new axis.
@function stack */
static int stack(lua_State *L) {
    return join(L, "stack", true);
}

/* ---- registration -------------------------------------------------------------------------------------- */

/* Both t:exp() and cnn.exp(t); as functions of the module they take numbers and nested tables too. */
static const lcnn_entry shared[] = {
    {"astype", as_type, 0},
    {"copy", copy, 0},
    {"read", copy, 0},
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
