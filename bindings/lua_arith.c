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
    [CNN_NEG] = "negative", [CNN_ABS] = "abs",     [CNN_SIGN] = "sign",    [CNN_FLOOR] = "floor",
    [CNN_CEIL] = "ceil",    [CNN_ROUND] = "round", [CNN_SQUARE] = "square"};
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
    if (op == CNN_ISNAN) return lcnn_apply_binary(L, CNN_NOT_EQUAL, a, a); /* a mask, as comparisons are */
    if (traced && op_of_unary(op) && !is_whole(L, a)) return lcnn_apply_1(L, op_of_unary(op), NULL, a);
    if (traced && op == CNN_RECIPROCAL) {
        lua_pushinteger(L, 1);
        return traced_binary(L, CNN_DIV, lua_gettop(L), a);
    }
    lcnn_to_tensor(L, a);
    lcnn_push_result(L, cnn_unary(&out, op, lcnn_check_tensor(L, a)), &out);
    if (traced) lcnn_no_gradient(L, unary_names[op] ? unary_names[op] : "a function of integers", a);
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

/* add, equal, … and the operators: numbers and nested tables may stand for tensors. */
static int binary(lua_State *L) {
    lua_settop(L, 2);
    return lcnn_apply_binary(L, (cnn_binary_op)lcnn_upvalue_op(L), 1, 2);
}

/* exp, abs, … */
static int unary(lua_State *L) {
    return lcnn_apply_unary(L, (cnn_unary_op)lcnn_upvalue_op(L), 1);
}

static int negate(lua_State *L) {
    return lcnn_apply_unary(L, CNN_NEG, 1);
}

/* As NumPy does it: times 10^decimals, to whole numbers, and back. */
static int round_to(lua_State *L) {
    enum { MOST = 38 };
    static const char *const names[] = {"decimals", NULL};
    int whole = 1;
    lcnn_args(L, 2, "round", names);
    lua_Integer decimals = lua_isnil(L, 2) ? 0 : lua_tointegerx(L, 2, &whole);
    if (!whole || decimals < -MOST || decimals > MOST)
        lcnn_fail(L, "round: 'decimals' must be an integer between %d and %d, got %s", -MOST, MOST,
                  lcnn_describe(L, 2));
    if (decimals == 0) return lcnn_apply_unary(L, CNN_ROUND, 1);
    lua_pushnumber(L, pow(10, fabs((double)decimals)));
    int factor = lua_gettop(L);
    lcnn_apply_binary(L, decimals > 0 ? CNN_MUL : CNN_DIV, 1, factor);
    lcnn_apply_unary(L, CNN_ROUND, lua_gettop(L));
    return lcnn_apply_binary(L, decimals > 0 ? CNN_DIV : CNN_MUL, lua_gettop(L), factor);
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

/* sum, mean, …; check_axes tells what axis may be. */
static int reduce(lua_State *L) {
    const char *who = lcnn_upvalue_name(L);
    int rank = lcnn_to_tensor(L, 1)->rank;
    lcnn_args(L, 2, who, reduce_names);
    unsigned axes = check_axes(L, 2, rank, who);
    return lcnn_apply_reduce(L, (cnn_reduce_op)lcnn_upvalue_op(L), 1, axes,
                             lcnn_opt_boolean(L, 3, who, "keepdims", false));
}

/* Booleans over everything, uint8 tensors over axes. */
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
    /* Of zeros and ones: of none of them the sum is 0, the product 1. */
    lcnn_apply_reduce(L, (cnn_reduce_op)op, 1, axes, keepdims);
    lcnn_apply_binary(L, CNN_NOT_EQUAL, lua_gettop(L), 4);
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

/*** The same elements in another shape; the memory is shared.
@function cnn.reshape
@tparam tensor x
@tparam {int,...}|int shape one size may be -1: it is what is left. As a method also sizes alone: t:reshape(2, -1)
@treturn tensor which shares the memory of x: writing to one changes the other (x:copy() first gives one of its own)
@raise a shape for another number of elements
@usage
t = cnn.arange(6)
t:reshape{2, -1}
--> int32 (2, 3)
--> [[0 1 2]
-->  [3 4 5]]
t:reshape(3, 2):shape()            --> {3, 2}
t:reshape{4}                       --> error: reshape: cannot give 6 elements the shape (4,)
*/
static int reshape(lua_State *L) {
    int64_t sizes[CNN_MAX_RANK];
    lcnn_to_tensor(L, 1);
    int count = list_from(L, "reshape", "shape", sizes);
    return lcnn_apply_reshape(L, 1, count, sizes);
}

/*** The same elements on one axis; the memory is shared.
@function cnn.flatten
@tparam tensor x of any shape
@treturn tensor of one axis, sharing the memory of x
@usage
cnn.flatten{{1, 2}, {3, 4}}
--> float32 (4,)
--> [1. 2. 3. 4.]
*/
static int flatten(lua_State *L) {
    lcnn_to_tensor(L, 1);
    return lcnn_apply_reshape(L, 1, 1, (int64_t[]){-1});
}

/*** The axes in another order: reversed, or as told.
@function cnn.transpose
@tparam tensor x
@tparam[opt] {int,...} axes the axis of x that each axis of the result is; all of them, from 1
@treturn tensor a copy
@raise axes that are missing or given twice
@usage
t = cnn.arange(6):reshape{2, 3}
t:transpose()
--> int32 (3, 2)
--> [[0 3]
-->  [1 4]
-->  [2 5]]
cnn.zeros{8, 28, 20, 3}:transpose{1, 4, 2, 3}:shape()    --> {8, 3, 28, 20}
t:transpose{1}         --> error: transpose: a tensor of rank 2 takes as many axes, got 1
*/

/*** The axes in reverse order: cnn.transpose, as a method with a short name.
@function tensor:T
@tparam[opt] {int,...} axes as of cnn.transpose
@treturn tensor a copy
@usage
cnn.zeros{2, 3}:T():shape()        --> {3, 2}
*/
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

/*** The same elements without axes of size 1; the memory is shared.
@function cnn.squeeze
@tparam tensor x
@tparam[opt] int|{int,...} axis the axes to drop; default: all of size 1
@treturn tensor
@raise an axis told whose size is not 1
@usage
t = cnn.zeros{1, 28, 28, 1}
t:squeeze():shape()    --> {28, 28}
t:squeeze(-1):shape()  --> {1, 28, 28}
t:squeeze(2)           --> error: squeeze: axis 2 must have size 1, has 28
*/
static int squeeze(lua_State *L) {
    const cnn_tensor *t = lcnn_to_tensor(L, 1);
    int64_t kept[CNN_MAX_RANK];
    int count = 0;
    lcnn_args(L, 2, "squeeze", (const char *const[]){"*axis", NULL});
    unsigned axes = check_axes(L, 2, t->rank, "squeeze");
    for (int i = 0; i < t->rank; i++) {
        bool chosen = axes >> i & 1;
        if (chosen && t->shape[i] != 1)
            lcnn_fail(L, "squeeze: axis %d must have size 1, has %I", i + 1, (LUAI_UACINT)t->shape[i]);
        if (!chosen && (axes || t->shape[i] != 1)) kept[count++] = t->shape[i];
    }
    return lcnn_apply_reshape(L, 1, count, kept);
}

/*** The same elements with one axis more, of size 1; the memory is shared.
@function cnn.expand_dims
@tparam tensor x
@tparam int axis where the new axis is in the result: 1 makes it the first, -1 the last
@treturn tensor
@usage
image = cnn.zeros{28, 28}
image:expand_dims(-1):shape()      --> {28, 28, 1}
image:expand_dims(1):shape()       --> {1, 28, 28}
*/
static int expand_dims(lua_State *L) {
    const cnn_tensor *t = lcnn_to_tensor(L, 1);
    lcnn_args(L, 2, "expand_dims", (const char *const[]){"axis", NULL});
    int axis =
        lcnn_check_axis(L, lcnn_check_integer(L, 2, "expand_dims", "axis"), t->rank + 1, "expand_dims");
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

/*** The elements in reverse order along axes.
@function cnn.flip
@tparam tensor x
@tparam[opt] int|{int,...} axis default: every axis
@treturn tensor a copy
@usage
t = cnn.tensor{{1, 2}, {3, 4}}
t:flip(2)              -- left and right change places
--> float32 (2, 2)
--> [[2. 1.]
-->  [4. 3.]]
t:flip():tolist()      --> {{4.0, 3.0}, {2.0, 1.0}}
*/
static int flip(lua_State *L) {
    cnn_tensor *t = lcnn_to_tensor(L, 1), *out = NULL;
    lcnn_args(L, 2, "flip", (const char *const[]){"*axis", NULL});
    unsigned axes = check_axes(L, 2, t->rank, "flip");
    if (lua_isnil(L, 2)) axes = ~0u;
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

/*** A tensor with more elements around it.
@function cnn.pad
@tparam tensor x
@tparam int|table pad_width how many before and after: one number for all ends; or for each axis a number or a pair
{before, after}
@tparam[opt=0] number value what they are; may be in the table of widths, by name
@treturn tensor
@raise a table with more or fewer entries than axes; a negative width
@usage
cnn.pad({1, 2}, 1)
--> float32 (4,)
--> [0. 1. 2. 0.]
cnn.pad({{1, 2}, {3, 4}}, {0, {1, 2}, value = 9})
--> float32 (2, 5)
--> [[9. 1. 2. 9. 9.]
-->  [9. 3. 4. 9. 9.]]
*/
static int pad(lua_State *L) {
    int dims = lcnn_to_tensor(L, 1)->rank;
    int64_t before[CNN_MAX_RANK], after[CNN_MAX_RANK], pair[CNN_MAX_RANK];
    lua_settop(L, 3);
    if (lua_type(L, 2) == LUA_TTABLE) lcnn_check_names(L, 2, "pad", lua_isnil(L, 3) ? "value" : NULL);
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
    cnn_tensor *out = NULL, *t = lcnn_check_tensor(L, 1);
    value = lcnn_fit_number(t->dtype, value);
    return lcnn_push_result(L, cnn_pad(&out, t, before, after, value), &out);
}

static int traced_tile(lua_State *L, int dims, const int64_t *times) {
    for (int axis = 0; axis < dims; axis++) {
        if (times[axis] == 1) continue;
        int64_t size = known_size(L, axis, "tile"), count = 0;
        if (__builtin_mul_overflow(size, times[axis], &count) || count > INT32_MAX)
            lcnn_fail(L, "tile: axis %d cannot be repeated %I times", axis + 1, (LUAI_UACINT)times[axis]);
        int32_t *positions = push_positions(L, count);
        for (int64_t i = 0; i < count; i++) positions[i] = (int32_t)(i % size);
        gather_in_place(L, axis);
    }
    lua_settop(L, 1);
    return 1;
}

/*** A tensor repeated along each axis.
@function cnn.tile
@tparam tensor x
@tparam {int,...}|int repeats how often, a number for each axis; NumPy's tile also takes fewer or more
@treturn tensor
@usage
cnn.tile({{1, 2}}, {2, 3})
--> float32 (2, 6)
--> [[1. 2. 1. 2. 1. 2.]
-->  [1. 2. 1. 2. 1. 2.]]
*/
static int tile(lua_State *L) {
    int dims = lcnn_to_tensor(L, 1)->rank;
    int64_t times[CNN_MAX_RANK];
    int count = list_from(L, "tile", "repeats", times);
    if (count != dims) lcnn_fail(L, "tile: a tensor of rank %d takes as many numbers, got %d", dims, count);
    for (int i = 0; i < dims; i++)
        if (times[i] < 0)
            lcnn_fail(L, "tile: axis %d cannot be repeated %I times", i + 1, (LUAI_UACINT)times[i]);
    if (lcnn_traced(L, 1)) return traced_tile(L, dims, times);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_tile(&out, lcnn_check_tensor(L, 1), times), &out);
}

/*** A copy in a larger shape, as arithmetic broadcasts: axes of size 1 are repeated, missing ones are put in front.
@function cnn.broadcast_to
@tparam tensor x
@tparam {int,...} shape
@treturn tensor a copy; NumPy's result is a view that cannot be written to
@raise a shape to which x does not broadcast
@usage
cnn.broadcast_to({1, 2, 3}, {2, 3})
--> float32 (2, 3)
--> [[1. 2. 3.]
-->  [1. 2. 3.]]
cnn.broadcast_to({1, 2, 3}, {3, 2})
--> error: broadcast_to: the shape (3,) does not broadcast to (3, 2)
*/
static int broadcast_to(lua_State *L) {
    int64_t sizes[CNN_MAX_RANK];
    lcnn_to_tensor(L, 1);
    list_from(L, "broadcast_to", "shape", sizes);
    int count = lcnn_check_shape(L, 2, "broadcast_to", sizes);
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

/*** A copy with elements of another type. To integers, fractions are cut off (towards zero), what is too large or
small becomes the type's largest or smallest value, NaN becomes 0; NumPy wraps around there.
@function cnn.astype
@tparam tensor x
@tparam text dtype float32, uint8, int32 or bfloat16
@treturn tensor a copy, even if the type stays
@usage
t = cnn.tensor{1.7, -1.7, 300}
t:astype "int32"
--> int32 (3,)
--> [  1  -1 300]
t:astype "uint8"
--> uint8 (3,)
--> [  1   0 255]
t:astype "float64"
--> error: astype: dtype: expected float32, uint8, int32 or bfloat16, got 'float64' (did you mean 'float32'?)
*/
static int as_type(lua_State *L) {
    if (lua_isnoneornil(L, 2)) lcnn_fail(L, "astype: 'dtype' is missing");
    cnn_tensor *out = NULL, *t = lcnn_to_tensor(L, 1);
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

/*** A copy with memory of its own.
@function cnn.copy
@tparam tensor x
@treturn tensor
@usage
t = cnn.zeros{2, 2}
row, own = t[1], t[1]:copy()
t[1] = 5
row[1], own[1]         -- a row shares its tensor's memory, a copy does not
--> 5.0
--> 0.0
*/

/*** A copy of a variable's value, by TensorFlow's name: cnn.copy.
@function cnn.read
@tparam tensor x
@treturn tensor
@usage
w = cnn.Variable{1, 2}
before = w:read()
w:assign{3, 4}
before:tolist()        --> {1.0, 2.0}
*/
static int copy(lua_State *L) {
    cnn_tensor *out = NULL;
    lcnn_to_tensor(L, 1);
    if (lcnn_traced(L, 1) && lcnn_check_tensor(L, 1)->dtype == CNN_FLOAT32) return push_affine(L, 1, 1, 0);
    return lcnn_push_result(L, cnn_copy(&out, lcnn_check_tensor(L, 1)), &out);
}

/*** The elements kept within bounds.
@function cnn.clip
@tparam tensor x
@tparam[opt] number min what is less becomes this
@tparam[opt] number max what is more becomes this
@treturn tensor of the type of x; of integers float32 if a bound is not whole
@raise min above max
@usage
cnn.clip({-2, 0.5, 3}, 0, 1)
--> float32 (3,)
--> [0.  0.5 1. ]
cnn.tensor{-2, 0.5, 3}:clip{max = 1}:tolist()            --> {-2.0, 0.5, 1.0}
*/
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

/*** The product of matrices, of vectors and matrices, or of two vectors. [m, k] times [k, n] is [m, n]. A vector on
the left counts as a row, on the right as a column, and its axis is not in the result. Axes before the last two
broadcast, as in NumPy; under a gradient tape and in models the second has at most two.
@function cnn.matmul
@tparam tensor a float32
@tparam tensor b float32, or numbers in a table as a may be
@treturn tensor float32
@raise inner sizes that differ; other types than float32; a tensor without axes
@usage
m = cnn.tensor{{1, 2}, {3, 4}}
m:matmul{{1, 0}, {1, 1}}
--> float32 (2, 2)
--> [[3. 2.]
-->  [7. 4.]]
m:matmul{1, 10}:tolist()           --> {21.0, 43.0}
cnn.matmul({1, 2}, {3, 4}):item()  --> 11.0
m:matmul(cnn.ones{3})  --> error: matmul: the inner sizes of the shapes (2, 2) and (3,) differ
*/

/*** The product of matrices and vectors: cnn.matmul, by another name. With more than two axes NumPy's dot differs;
this one does not.
@function cnn.dot
@tparam tensor a float32
@tparam tensor b float32
@treturn tensor float32
@usage
cnn.dot({1, 2, 3}, {4, 5, 6}):item()                     --> 32.0
*/
static int matmul(lua_State *L) {
    lcnn_to_tensor(L, 1);
    lcnn_to_tensor(L, 2);
    if (lcnn_traced(L, 1) || lcnn_traced(L, 2)) return traced_matmul(L);
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_matmul(&out, lcnn_check_tensor(L, 1), lcnn_check_tensor(L, 2)), &out);
}

/*** Elements of one tensor where a condition holds, of another elsewhere. All three broadcast together. A number
takes the type of the other choice if it fits there.
@function cnn.where
@tparam tensor condition holds where it is not 0
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor of the type that a + b has
@usage
x = cnn.tensor{-1, 2, -3}
cnn.where(x:less(0), 0, x)         -- what x[x < 0] = 0 makes in NumPy
--> float32 (3,)
--> [0. 2. 0.]
*/
static int where(lua_State *L) {
    static const char *const names[] = {"condition", "a", "b", NULL};
    lcnn_args(L, 1, "where", names);
    for (int i = 1; i <= 3; i++)
        if (lua_isnil(L, i)) lcnn_fail(L, "where: '%s' is missing", names[i - 1]);
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

/*** True if two tensors have equal shapes and nearly equal elements: |a - b| ≤ atol + rtol·|b| for each. NaN is close
to nothing. NumPy's allclose broadcasts; this one does not.
@function cnn.allclose
@tparam tensor a
@tparam tensor b
@tparam[opt=1e-5] number rtol
@tparam[opt=1e-8] number atol
@treturn bool
@usage
cnn.allclose({1, 2}, {1, 2.000001})                      --> true
cnn.allclose({1, 2}, {1, 2.1})     --> false
cnn.allclose{{1, 2}, {1, 2.1}, atol = 0.2}               --> true
*/
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
        lcnn_fail(L, "%s: 'tensors' must be a list of tensors, got %s", who, lcnn_describe(L, 1));
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
    int count = push_parts(L, who);
    bool traced = false;
    int64_t axis = lua_isnil(L, 2) ? 1 : lcnn_check_integer(L, 2, who, "axis");
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

static int concat(lua_State *L) {
    return join(L, "concat", false);
}

static int stack(lua_State *L) {
    return join(L, "stack", true);
}

/* ---- registration -------------------------------------------------------------------------------------- */

/*** The sum of two tensors, element by element: the operator +. Shapes broadcast as in NumPy: they are compared from
the last axis on, and an axis of size 1, or one that is missing, is repeated to the other's size. Numbers and nested
tables may stand for tensors.

The type of the result, here and in the other functions of two tensors: float32 with anything is float32; int32 with
uint8 is int32; equal types stay, and integers wrap around. A number takes the tensor's type if it has that value
there, else float32.
@function cnn.add
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor
@raise shapes that do not broadcast together
@usage
cnn.tensor{{1, 2, 3}, {4, 5, 6}} + {10, 20, 30}
--> float32 (2, 3)
--> [[11. 22. 33.]
-->  [14. 25. 36.]]
x = cnn.tensor({1, 250}, "uint8")
x + 10                 -- 10 is a byte, so are the sums: they wrap around
--> uint8 (2,)
--> [11  4]
x + 0.5                -- 0.5 is none
--> float32 (2,)
--> [  1.5 250.5]
x + {1, 2, 3}          --> error: add: the shapes (2,) and (3,) do not broadcast together
*/

/*** The difference of two tensors, element by element: the operator -. Types and broadcasting are those of cnn.add.
@function cnn.subtract
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor
@usage
cnn.subtract({5, 7}, 2):tolist()   --> {3.0, 5.0}
1 - cnn.tensor{1, 2}
--> float32 (2,)
--> [ 0. -1.]
*/

/*** The product of two tensors, element by element: the operator *. The product of matrices is cnn.matmul. Types and
broadcasting are those of cnn.add.
@function cnn.multiply
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor
@usage
cnn.tensor{{1}, {2}} * cnn.tensor{10, 20, 30}
--> float32 (2, 3)
--> [[10. 20. 30.]
-->  [20. 40. 60.]]
*/

/*** The quotient of two tensors, element by element: the operator /.
@function cnn.divide
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor always float32; division by 0 gives inf, -inf or nan
@usage
cnn.arange(4) / 2
--> float32 (4,)
--> [0.  0.5 1.  1.5]
cnn.divide({1, -1, 0}, 0)
--> float32 (3,)
--> [ inf -inf  nan]
*/

/*** The quotient rounded down to a whole number, element by element: the operator //.
@function cnn.floor_divide
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor of the type that cnn.add gives; integers divided by 0 give 0
@usage
cnn.tensor({7, -7}, "int32") // 2
--> int32 (2,)
--> [ 3 -4]
cnn.floor_divide({7.5}, 2):item()  --> 3.0
*/

/*** The remainder of division, with the sign of the divisor: the operator %.
@function cnn.mod
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor of the type that cnn.add gives; of integers modulo 0 it is 0
@usage
cnn.tensor({7, -7}, "int32") % 3
--> int32 (2,)
--> [1 2]
cnn.mod({5.5}, {-2}):item()        --> -0.5
*/

/*** A tensor to the power of another, element by element: the operator ^.
@function cnn.pow
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor always float32; negative numbers to a fraction give nan
@usage
cnn.tensor{1, 2, 3} ^ 2
--> float32 (3,)
--> [1. 4. 9.]
cnn.pow(2, {0, 1, 10}):tolist()    --> {1.0, 2.0, 1024.0}
*/

/*** The greater of two elements each; of numbers and NaN it is NaN.
@function cnn.maximum
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor of the type that cnn.add gives
@usage
cnn.maximum({1, 5}, {4, 2})
--> float32 (2,)
--> [4. 5.]
cnn.maximum({-1, 0.5}, 0):tolist() --> {0.0, 0.5}
*/

/*** The smaller of two elements each; of numbers and NaN it is NaN.
@function cnn.minimum
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor of the type that cnn.add gives
@usage
cnn.minimum({1, 5}, {4, 2}):tolist()                     --> {1.0, 2.0}
*/

/*** Where elements are equal, element by element. The operator == asks whether two variables hold the same tensor.
@function cnn.equal
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor uint8, 1 where it holds and 0 elsewhere: a mask
@usage
a, b = cnn.tensor{1, 2, 3}, cnn.tensor{1, 0, 3}
a:equal(b)
--> uint8 (3,)
--> [1 0 1]
a:equal(b):mean()      -- the share of equal elements: an accuracy
--> float32 ()
--> 0.6666667
a == b, a == a
--> false
--> true
*/

/*** Where elements differ, element by element. NaN differs from itself.
@function cnn.not_equal
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor uint8, 1 where it holds and 0 elsewhere
@usage
cnn.not_equal({1, 2, 3}, {1, 0, 3}):tolist()             --> {0, 1, 0}
*/

/*** Where elements of the first are less than those of the second. The operator < takes tensors of one element, for
Lua makes a boolean of what it gives.
@function cnn.less
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor uint8, 1 where it holds and 0 elsewhere
@usage
x = cnn.tensor{3, 1, 2}
x:less(2)
--> uint8 (3,)
--> [0 1 0]
x[x:less(3)]           -- a mask picks rows
--> float32 (2,)
--> [1. 2.]
*/

/*** Where elements of the first are less than those of the second, or equal.
@function cnn.less_equal
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor uint8, 1 where it holds and 0 elsewhere
@usage
cnn.less_equal({3, 1, 2}, 2):tolist()                    --> {0, 1, 1}
*/

/*** Where elements of the first are greater than those of the second.
@function cnn.greater
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor uint8, 1 where it holds and 0 elsewhere
@usage
cnn.greater({0.2, 0.7}, 0.5)       -- probabilities as decisions
--> uint8 (2,)
--> [0 1]
*/

/*** Where elements of the first are greater than those of the second, or equal.
@function cnn.greater_equal
@tparam tensor|number a
@tparam tensor|number b
@treturn tensor uint8, 1 where it holds and 0 elsewhere
@usage
cnn.greater_equal({3, 1, 2}, 2):tolist()                 --> {1, 0, 1}
*/

/*** The absolute value of each element.
@function cnn.abs
@tparam tensor x
@treturn tensor of the type of x
@usage
cnn.abs{-1.5, 2}:tolist()          --> {1.5, 2.0}
*/

/*** The sign of each element: -1, 0 or 1; of NaN it is NaN.
@function cnn.sign
@tparam tensor x
@treturn tensor of the type of x
@usage
cnn.sign{-2, 0, 3}:tolist()        --> {-1.0, 0.0, 1.0}
*/

/*** The square of each element.
@function cnn.square
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.square{1, 2, -3}
--> float32 (3,)
--> [1. 4. 9.]
*/

/*** The square root of each element; of negative numbers it is NaN.
@function cnn.sqrt
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.sqrt{4, 2, -1}
--> float32 (3,)
--> [2.        1.4142135       nan]
*/

/*** e to the power of each element.
@function cnn.exp
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.exp{0, 1}
--> float32 (2,)
--> [1.        2.71828...
*/

/*** The natural logarithm of each element; of 0 it is -inf, of negative numbers NaN.
@function cnn.log
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.log{1, 0, -1}
--> float32 (3,)
--> [  0. -inf  nan]
*/

/*** The natural logarithm of 1 + x, exact for small x too.
@function cnn.log1p
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.log1p{1e-10}:item()            --> 1.0000000133...
cnn.log(1 + cnn.tensor{1e-10}):item()                    --> 0.0
*/

/*** The sine of each element, an angle in radians.
@function cnn.sin
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.sin{0, math.pi / 2}:round():tolist()                 --> {0.0, 1.0}
*/

/*** The cosine of each element, an angle in radians.
@function cnn.cos
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.cos{0, math.pi}:round():tolist()                     --> {1.0, -1.0}
*/

/*** The hyperbolic tangent of each element: (e^x - e^-x) / (e^x + e^-x), between -1 and 1.
@function cnn.tanh
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.tanh{-1, 0, 1}
--> float32 (3,)
--> [-0.761594...
*/

/*** The logistic function of each element: 1 / (1 + e^-x), between 0 and 1.
@function cnn.sigmoid
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.sigmoid{-2, 0, 2}
--> float32 (3,)
--> [0.119202...
*/

/*** Each element, or 0 where it is negative: max(x, 0).
@function cnn.relu
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.relu{-1, 0, 2}:tolist()        --> {0.0, 0.0, 2.0}
*/

/*** Each element rounded down to a whole number.
@function cnn.floor
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.floor{-1.5, 1.5}:tolist()      --> {-2.0, 1.0}
*/

/*** Each element rounded up to a whole number.
@function cnn.ceil
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.ceil{-1.5, 1.5}:tolist()       --> {-1.0, 2.0}
*/

/*** Each element rounded to the nearest whole number, halves to the even one, as NumPy does.
@function cnn.round
@tparam tensor x
@tparam[opt=0] int decimals places behind the point that stay; of negative ones, places before it that become 0
@treturn tensor float32, in the shape of x
@usage
cnn.round{0.5, 1.5, 2.6}:tolist()  --> {0.0, 2.0, 3.0}
cnn.tensor{1.23456, -2}:round(2)
--> float32 (2,)
--> [ 1.23 -2.  ]
*/

/*** One divided by each element.
@function cnn.reciprocal
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.reciprocal{2, 4}:tolist()      --> {0.5, 0.25}
*/

/*** Where elements are not a number.
@function cnn.isnan
@tparam tensor x
@treturn tensor uint8, 1 where x is NaN and 0 elsewhere: a mask
@usage
x = cnn.tensor{1, 0 / 0, 3}
x:isnan()
--> uint8 (3,)
--> [0 1 0]
cnn.where(x:isnan(), 0, x):tolist()                      --> {1.0, 0.0, 3.0}
*/

/*** The sum over all axes, one, or several. Sums are made in double precision, in an order that does not depend on
the number of threads. As a method: t:sum(axis), t:sum{axis, axis}, t:sum{axis, keepdims = true}; so for the other
functions over axes.
@function cnn.sum
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor float32, of integers int32 (not above its largest value); without the axes summed
@raise an axis that is not there, or given twice
@usage
x = cnn.tensor{{1, 2}, {3, 4}}
x:sum()
--> float32 ()
--> 10.0
x:sum(1)               -- down the columns
--> float32 (2,)
--> [4. 6.]
x:sum{2, keepdims = true}
--> float32 (2, 1)
--> [[3.]
-->  [7.]]
x:sum(3)               --> error: sum: axis 3 is not there in a tensor of rank 2 (axes count from 1)
*/

/*** The mean over all axes, one, or several; of no elements it is NaN.
@function cnn.mean
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor float32
@raise an axis that is not there, or given twice
@usage
x = cnn.tensor{{1, 2}, {3, 4}}
x:mean():item()        --> 2.5
x:mean(1):tolist()     --> {2.0, 3.0}
*/

/*** The greatest element over all axes, one, or several; NaN if there is one.
@function cnn.max
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor of the type of x
@raise an axis that is not there; no elements to choose from
@usage
x = cnn.tensor{{1, 5}, {3, 4}}
x:max():item()         --> 5.0
x:max(2):tolist()      --> {5.0, 4.0}
*/

/*** The smallest element over all axes, one, or several; NaN if there is one.
@function cnn.min
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor of the type of x
@raise an axis that is not there; no elements to choose from
@usage
x = cnn.tensor{{1, 5}, {3, 4}}
x:min():item()         --> 1.0
x:min(1):tolist()      --> {1.0, 4.0}
*/

/*** The product over all axes, one, or several; of no elements it is 1.
@function cnn.prod
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor float32, of integers int32 (within its range)
@raise an axis that is not there, or given twice
@usage
cnn.prod({{1, 2}, {3, 4}}, 1):tolist()                   --> {3.0, 8.0}
*/

/*** The standard deviation over all axes, one, or several: the square root of cnn.var.
@function cnn.std
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor float32
@raise an axis that is not there, or given twice
@usage
cnn.std{1, 2, 3, 4}:item()         --> 1.1180340051651
cnn.std({{1, 3}, {2, 8}}, 2):tolist()                    --> {1.0, 3.0}
*/

/*** The variance over all axes, one, or several: the mean of (x - mean)². It divides by the number n of elements, as
NumPy and Keras do, not by n - 1.
@function cnn.var
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor float32
@raise an axis that is not there, or given twice
@usage
cnn.var{1, 2, 3, 4}:item()         --> 1.25
*/

/*** The position of the greatest element, along an axis or in the whole tensor. Positions count from 1, without an
axis along the flat tensor. Of equal elements it is the first; NaN counts as greatest.
@function cnn.argmax
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor int32
@raise several axes, but not all; no elements to choose from
@usage
scores = cnn.tensor{{0.1, 0.7, 0.2}, {0.8, 0.1, 0.1}}
scores:argmax(2)
--> int32 (2,)
--> [2 1]
scores:argmax(2) - 1   -- classes, which count from 0
--> int32 (2,)
--> [1 0]
scores:argmax():item() --> 4
*/

/*** The position of the smallest element, along an axis or in the whole tensor. Positions count from 1, as of
cnn.argmax.
@function cnn.argmin
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1, negative from the end; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn tensor int32
@raise several axes, but not all; no elements to choose from
@usage
cnn.argmin{3, 1, 2}:item()         --> 2
cnn.argmin({{3, 1}, {2, 4}}, 1):tolist()                 --> {2, 1}
*/

/*** Whether any element is not 0: over everything, or along axes.
@function cnn.any
@tparam tensor x NaN is not 0
@tparam[opt] int|{int,...} axis counted from 1; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn bool|tensor without axis and keepdims a boolean; else uint8, 1 or 0
@usage
cnn.any{0, 2, 0}       --> true
cnn.tensor{1, 2}:greater(5):any()  --> false
cnn.any({{0, 1}, {0, 0}}, 2)
--> uint8 (2,)
--> [1 0]
*/

/*** Whether all elements are not 0: over everything, or along axes.
@function cnn.all
@tparam tensor x
@tparam[opt] int|{int,...} axis counted from 1; default: all axes
@tparam[opt=false] bool keepdims whether the axes stay, with size 1
@treturn bool|tensor without axis and keepdims a boolean; else uint8, 1 or 0. Of no elements true
@usage
cnn.all{1, 2, 0}       --> false
if cnn.equal({1, 2}, {1, 2}):all() then print "equal" end
--> equal
cnn.all({{0, 1}, {1, 1}}, 2):tolist()                    --> {0, 1}
*/

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
    {"round", round_to, 0},
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
    {"any", any_or_all, CNN_SUM},
    {"all", any_or_all, CNN_PROD},
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
    {"__unm", negate, 0},
    {NULL, NULL, 0},
};

/*** Tensors put together along an axis that they have.
@function cnn.concat
@tparam {tensor,...} tensors of one type, with equal shapes but for that axis
@tparam[opt=1] int axis counted from 1; negative from the end
@treturn tensor a copy
@raise shapes or types that differ
@usage
a, b = cnn.tensor{{1, 2}}, cnn.tensor{{3, 4}}
cnn.concat{a, b}
--> float32 (2, 2)
--> [[1. 2.]
-->  [3. 4.]]
cnn.concat({a, b}, 2):tolist()     --> {{1.0, 2.0, 3.0, 4.0}}
cnn.concat{a, b, axis = 2}:shape() --> {1, 4}
*/

/*** Tensors put together along an axis, by NumPy's name: cnn.concat.
@function cnn.concatenate
@tparam {tensor,...} tensors of one type, with equal shapes but for that axis
@tparam[opt=1] int axis counted from 1; negative from the end
@treturn tensor a copy
@usage
cnn.concatenate{cnn.zeros{2}, cnn.ones{3}}:tolist()      --> {0.0, 0.0, 1.0, 1.0, 1.0}
*/

/*** Tensors put together along a new axis.
@function cnn.stack
@tparam {tensor,...} tensors of one type and shape
@tparam[opt=1] int axis where the new axis is in the result
@treturn tensor a copy
@usage
a, b = cnn.tensor{1, 2}, cnn.tensor{3, 4}
cnn.stack{a, b}
--> float32 (2, 2)
--> [[1. 2.]
-->  [3. 4.]]
cnn.stack{a, b, axis = 2}:tolist() --> {{1.0, 3.0}, {2.0, 4.0}}
images = cnn.stack{cnn.zeros{28, 28, 1}, cnn.ones{28, 28, 1}}      -- a batch of pictures
images:shape()         --> {2, 28, 28, 1}
*/

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
