/* Looking into tensors: t[i], t[{…}], t[tensor], and writing there.
 *
 * Positions count from 1, negative ones from the end; a position out of range is an error. A range {from, to,
 * step} includes both ends and is cut to what there is, as string.sub does. */
#include "lua_cnn.h"
#include "lua_op.h"
#include "ops/index.h"
#include "ops/tape.h"

#include <math.h>
#include <string.h>

/* A block of a tensor: as cnn_slice takes it, and which axes an integer dropped. */
typedef struct block {
    int64_t from[CNN_MAX_RANK], to[CNN_MAX_RANK], step[CNN_MAX_RANK];
    bool dropped[CNN_MAX_RANK];
} block;

static block whole_block(const cnn_tensor *t) {
    block b = {0};
    for (int i = 0; i < t->rank; i++) {
        b.to[i] = t->shape[i];
        b.step[i] = 1;
    }
    return b;
}

/* The position at index, from 0, on an axis of this size; axis is for the message, from 0. */
static int64_t check_position(lua_State *L, int index, int64_t size, int axis) {
    int whole = 0;
    int64_t position = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
    if (!whole) lcnn_fail(L, "index: a position must be an integer, got %s", lcnn_describe(L, index));
    if (position >= 1 && position <= size) return position - 1;
    if (position < 0 && position >= -size) return position + size;
    return lcnn_fail(L, "index: position %I is out of range for axis %d of size %I (positions count from 1)",
                     (LUAI_UACINT)position, axis + 1, (LUAI_UACINT)size);
}

static int64_t range_number(lua_State *L, int position, int64_t fallback) {
    lua_rawgeti(L, -1, position);
    int whole = 0;
    int64_t number = lua_isnil(L, -1)                 ? (whole = 1, fallback)
                     : lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &whole)
                                                      : 0;
    if (!whole) lcnn_fail(L, "index: a range is {from, to, step} in integers, got %s", lcnn_describe(L, -1));
    lua_pop(L, 1);
    return number;
}

/* {from, to, step} on the top, both ends included and clamped as string.sub does. */
static void read_range(lua_State *L, block *b, int axis, int64_t size) {
    if (lua_rawlen(L, -1) > 3)
        lcnn_fail(L, "index: a range is {from, to, step}, got %d numbers", (int)lua_rawlen(L, -1));
    int64_t from = range_number(L, 1, 1), to = range_number(L, 2, -1), step = range_number(L, 3, 1);
    if (step < 1) lcnn_fail(L, "index: the step of a range must be at least 1, got %I", (LUAI_UACINT)step);
    if (from < 0) from = from < -size ? 1 : from + size + 1;
    if (from < 1) from = 1;
    if (to < 0) to = to < -size ? 0 : to + size + 1;
    if (to > size) to = size;
    if (from > to) from = to + 1;
    b->from[axis] = from - 1;
    b->to[axis] = to;
    b->step[axis] = step < size ? step : size > 0 ? size : 1;
}

/* The block that the key at index, a number or a table, stands for. */
static block read_block(lua_State *L, int index, const cnn_tensor *t) {
    block b = whole_block(t);
    bool is_table = lua_type(L, index) == LUA_TTABLE;
    lua_Unsigned given = is_table ? lua_rawlen(L, index) : 1;
    if (given > (lua_Unsigned)t->rank)
        lcnn_fail(L, "index: %d position%s for a tensor of rank %d", (int)given, given == 1 ? "" : "s",
                  t->rank);
    for (int i = 0; i < (int)given; i++) {
        if (is_table)
            lua_rawgeti(L, index, i + 1);
        else
            lua_pushvalue(L, index);
        if (t->shape[i] < 0 && !lua_isnil(L, -1))
            lcnn_fail(L, "index: the samples of a symbolic tensor cannot be chosen; put nil in their place");
        if (lua_type(L, -1) == LUA_TTABLE) {
            read_range(L, &b, i, t->shape[i]);
        } else if (!lua_isnil(L, -1)) {
            b.from[i] = check_position(L, lua_gettop(L), t->shape[i], i);
            b.to[i] = b.from[i] + 1;
            b.dropped[i] = true;
        }
        lua_pop(L, 1);
    }
    return b;
}

/* Without the axes that the block drops. Releases a. */
static cnn_status drop_axes(cnn_tensor **out, cnn_tensor *a, const block *b) {
    int64_t kept[CNN_MAX_RANK];
    int count = 0;
    for (int i = 0; i < a->rank; i++)
        if (!b->dropped[i]) kept[count++] = a->shape[i];
    cnn_status status = cnn_reshape(out, a, count, kept);
    cnn_tensor_release(a);
    return status;
}

/* A traced tensor's block is made by an op, and is always a tensor: a number would lose its gradient. */
static int traced_block(lua_State *L, const block *b) {
    const cnn_tensor *t = lcnn_check_tensor(L, 1);
    cnn_slice_op attributes = {.class = &cnn_op_slice.class};
    int64_t kept[CNN_MAX_RANK];
    int count = 0, rank = t->rank;
    attributes.from.rank = attributes.to.rank = attributes.step.rank = rank;
    for (int i = 0; i < rank; i++) {
        attributes.from.sizes[i] = b->from[i];
        attributes.to.sizes[i] = b->to[i];
        attributes.step.sizes[i] = b->step[i];
    }
    lcnn_apply_1(L, &cnn_op_slice, &attributes, 1);
    t = lcnn_check_tensor(L, -1);
    for (int i = 0; i < rank; i++)
        if (!b->dropped[i]) kept[count++] = t->shape[i];
    return count == rank ? 1 : lcnn_apply_reshape(L, lua_gettop(L), count, kept);
}

/* The tensor at 1, which has elements or is symbolic with a first axis of known size. */
static cnn_tensor *check_indexed(lua_State *L, const char *who) {
    cnn_tensor *t = lcnn_check_tensor(L, 1);
    if (t->rank == 0) lcnn_fail(L, "%s: a tensor of rank 0 has no axis", who);
    return t;
}

/* t[i]: a number of a vector, else a view of row i that shares its memory. */
static int index_row(lua_State *L) {
    cnn_tensor *t = check_indexed(L, "index"), *view = NULL, *out = NULL;
    if (!t->data && t->shape[0] < 0)
        lcnn_fail(
            L, "index: the samples of a symbolic tensor cannot be chosen; t[{nil, i}] is position i of each");
    int64_t row = check_position(L, 2, t->shape[0], 0);
    if (lcnn_traced(L, 1)) {
        block b = whole_block(t);
        b.from[0] = row;
        b.to[0] = row + 1;
        b.dropped[0] = true;
        return traced_block(L, &b);
    }
    if (t->rank == 1) {
        lcnn_push_number(L, t, row);
        return 1;
    }
    cnn_status status = cnn_view(&view, t, row, row + 1);
    if (status == CNN_OK) status = drop_axes(&out, view, &(block){.dropped = {true}});
    return lcnn_push_result(L, status, &out);
}

/* t[{…}]: a copy of a block, or a number when every axis has an integer. */
static int index_block(lua_State *L) {
    const cnn_tensor *t = lcnn_check_tensor(L, 1);
    int axes = t->rank;
    block b = read_block(L, 2, t);
    if (lcnn_traced(L, 1)) return traced_block(L, &b);
    cnn_tensor *block_of_t = NULL, *out = NULL;
    cnn_status status = cnn_slice(&block_of_t, lcnn_check_tensor(L, 1), b.from, b.to, b.step);
    if (status == CNN_OK) status = drop_axes(&out, block_of_t, &b);
    lcnn_push_result(L, status, &out);
    if (out->rank == 0 && axes > 0) lcnn_push_number(L, out, 0);
    return 1;
}

/* Positions (from 1, negative from the end) in the tensor at arg, as an int32 tensor counted from 0 on the
 * top. A uint8 tensor is a mask and gives the positions where it is not 0. */
static cnn_tensor *push_positions(lua_State *L, int arg, int64_t size, bool masks, const char *who) {
    lcnn_to_tensor(L, arg);
    const cnn_tensor *given = lcnn_check_eager(L, arg, who);
    cnn_tensor *positions = NULL;
    bool mask = masks && given->dtype == CNN_UINT8;
    if (mask && (given->rank != 1 || given->size != size))
        lcnn_fail(L, "%s: a mask must have one axis of size %I", who, (LUAI_UACINT)size);
    int64_t count = 0;
    for (int64_t i = 0; mask && i < size; i++) count += cnn_u8(given)[i] != 0;
    if (mask)
        lcnn_check(L, cnn_tensor_new(&positions, CNN_INT32, 1, &count));
    else
        lcnn_check(L, cnn_tensor_new(&positions, CNN_INT32, given->rank, given->shape));
    lcnn_push_tensor(L, positions);
    given = lcnn_check_eager(L, arg, who);
    int32_t *out = cnn_i32(positions);
    for (int64_t i = 0; i < given->size; i++) {
        double p = cnn_tensor_get(given, i);
        if (mask) {
            if (p != 0) *out++ = (int32_t)i;
            continue;
        }
        if (p != floor(p) || p == 0 || fabs(p) > (double)size) {
            if (p == floor(p))
                lua_pushinteger(L, (lua_Integer)p);
            else
                lua_pushnumber(L, p);
            lcnn_fail(L, "%s: position %s is out of range for an axis of size %I (positions count from 1)",
                      who, lua_tostring(L, -1), (LUAI_UACINT)size);
        }
        *out++ = (int32_t)(p > 0 ? p - 1 : p + (double)size);
    }
    return positions;
}

static int gather_axis(lua_State *L, const char *who, int axis, bool masks) {
    cnn_tensor *out = NULL;
    push_positions(L, 2, lcnn_check_tensor(L, 1)->shape[axis], masks, who);
    if (lcnn_traced(L, 1)) {
        cnn_gather_op attributes = {.class = &cnn_op_gather.class, .axis = axis};
        return lcnn_apply_2(L, &cnn_op_gather, &attributes, 1, lua_gettop(L));
    }
    cnn_status status = cnn_gather(&out, lcnn_check_tensor(L, 1), lcnn_check_tensor(L, -1), axis);
    return lcnn_push_result(L, status, &out);
}

/* t[positions], t[mask]: rows picked by a tensor. */
static int index_tensor(lua_State *L) {
    check_indexed(L, "index");
    return gather_axis(L, "index", 0, true);
}

/* A variable's name, if it was given one, and whether tapes follow a tensor by themselves. */
static bool tensor_field(lua_State *L, const char *name) {
    if (strcmp(name, "trainable") == 0) {
        lua_pushboolean(L, lcnn_check_tensor(L, 1)->trainable);
        return true;
    }
    if (strcmp(name, "name") != 0) return false;
    lua_getfield(L, LUA_REGISTRYINDEX, LCNN_VARIABLE_NAMES);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    return true;
}

static int tensor_index(lua_State *L) {
    switch (lua_type(L, 2)) {
    case LUA_TNUMBER:
        return index_row(L);
    case LUA_TTABLE:
        return index_block(L);
    case LUA_TSTRING:
        lua_pushvalue(L, 2);
        if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL && !tensor_field(L, lua_tostring(L, 2)))
            lcnn_unknown(L, "tensor", "there is no", lua_tostring(L, 2), lua_upvalueindex(1));
        return 1;
    default:
        if (lcnn_test_tensor(L, 2)) return index_tensor(L);
        return lcnn_fail(L,
                         "index: expected a position, a table of positions and ranges, or a tensor, got a %s",
                         luaL_typename(L, 2));
    }
}

static const cnn_tensor *owner(const cnn_tensor *t) {
    while (t->base) t = t->base;
    return t;
}

/* source, broadcast, into the block: the axes the block drops are put back into source's shape as 1. */
static cnn_status assign(cnn_tensor *t, const block *b, cnn_tensor *source) {
    int64_t sizes[CNN_MAX_RANK];
    int from = source->rank;
    for (int i = t->rank - 1; i >= 0; i--) sizes[i] = b->dropped[i] || from == 0 ? 1 : source->shape[--from];
    cnn_tensor *fitting = NULL, *shaped = NULL;
    cnn_status status = CNN_OK;
    if (source->dtype != t->dtype)
        status = cnn_cast(&fitting, source, t->dtype);
    else if (owner(source) == owner(t))
        status = cnn_copy(&fitting, source); /* it may overlap */
    else
        fitting = cnn_tensor_retain(source);
    if (status == CNN_OK && from == 0)
        status = cnn_reshape(&shaped, fitting, t->rank, sizes);
    else if (status == CNN_OK)
        shaped = cnn_tensor_retain(fitting); /* more axes than the block: the core says so */
    if (status == CNN_OK) status = cnn_slice_assign(t, b->from, b->to, b->step, shaped);
    cnn_tensor_release(fitting);
    cnn_tensor_release(shaped);
    return status;
}

/* What a tape has recorded must not change, nor can it see a value it follows being written somewhere. */
static void check_untaped(lua_State *L, cnn_tensor *t) {
    cnn_tensor *source = lcnn_test_tensor(L, 3);
    if (cnn_tape_made(t))
        lcnn_fail(
            L, "index: a gradient tape follows this tensor; assign to a copy of it, or before it is watched");
    if (source && cnn_tape_follows(&source, 1))
        lcnn_fail(L, "index: a gradient tape follows the value, and cannot follow it into another tensor; "
                     "cnn.stack and cnn.concat put tensors together");
}

/* t[i] = v, t[{…}] = v: v is a number or something that broadcasts to the block. */
static int tensor_newindex(lua_State *L) {
    cnn_tensor *t = lcnn_check_eager(L, 1, "index");
    int type = lua_type(L, 2);
    check_untaped(L, t);
    if (lcnn_test_tensor(L, 2))
        return lcnn_fail(
            L, "index: a tensor cannot tell where to write; cnn.where(mask, a, b) gives a where the "
               "mask is not 0, else b");
    if (type != LUA_TNUMBER && type != LUA_TTABLE)
        return lcnn_fail(L,
                         "index: tensors have no fields to set; expected a position or a table of positions "
                         "and ranges, got %s",
                         lcnn_describe(L, 2));
    if (t->rank == 1 && type == LUA_TNUMBER && lua_type(L, 3) == LUA_TNUMBER) {
        lcnn_set_number(t, check_position(L, 2, t->shape[0], 0), lua_tonumber(L, 3));
        cnn_tape_written(t);
        return 0;
    }
    block b = read_block(L, 2, t);
    lcnn_to_tensor(L, 3);
    cnn_tensor *source = lcnn_check_eager(L, 3, "index");
    t = lcnn_check_eager(L, 1, "index");
    lcnn_check(L, assign(t, &b, source));
    cnn_tape_written(t);
    return 0;
}

static int next_row(lua_State *L) {
    lua_Integer i = lua_isnil(L, 2) ? 1 : luaL_checkinteger(L, 2) + 1;
    cnn_tensor *t = lcnn_check_eager(L, 1, "pairs");
    if (t->rank == 0 || i > t->shape[0]) return 0;
    lua_settop(L, 1);
    lua_pushinteger(L, i);
    index_row(L);
    lua_pushinteger(L, i);
    lua_insert(L, -2);
    return 2;
}

/* for i, row in pairs(t) */
static int tensor_pairs(lua_State *L) {
    lcnn_check_eager(L, 1, "pairs");
    lua_pushcfunction(L, next_row);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/*** Rows from one position to another of the first axis; the memory is shared.
@function cnn.slice
@tparam tensor x
@tparam int from counted from 1, negative from the end
@tparam[opt=-1] int to the last row, included; the ends are cut to what is there, as by string.sub
@treturn tensor which shares the memory of x; t[{{from, to}}] is a copy
@usage
t = cnn.arange(10)
t:slice(2, 4)
--> int32 (3,)
--> [1 2 3]
t:slice(-2):tolist()   --> {8, 9}
t:slice(1, 3)[1] = 100
t[1]                   --> 100
*/
static int slice(lua_State *L) {
    cnn_tensor *t = check_indexed(L, "slice"), *out = NULL;
    if (t->shape[0] < 0) lcnn_fail(L, "slice: a symbolic tensor has no elements yet");
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_optinteger(L, 3, -1);
    block b = whole_block(t);
    lua_createtable(L, 2, 0);
    lua_pushinteger(L, from);
    lua_rawseti(L, -2, 1);
    lua_pushinteger(L, to);
    lua_rawseti(L, -2, 2);
    read_range(L, &b, 0, b.to[0]);
    if (lcnn_traced(L, 1)) return traced_block(L, &b);
    return lcnn_push_result(L, cnn_view(&out, lcnn_check_tensor(L, 1), b.from[0], b.to[0]), &out);
}

/*** The elements at given positions along an axis.
@function cnn.gather
@tparam tensor x
@tparam tensor|table|int positions whole numbers, counted from 1, negative from the end; of any shape, which takes the
place of the axis
@tparam[opt=1] int axis
@treturn tensor a copy
@raise a position or axis that is not there
@usage
t = cnn.tensor{{1, 2, 3}, {4, 5, 6}}
t:gather({3, 1}, 2)
--> float32 (2, 2)
--> [[3. 1.]
-->  [6. 4.]]
t:gather(2):tolist()   --> {4.0, 5.0, 6.0}
t:gather{3}
--> error: gather: position 3 is out of range for an axis of size 2 (positions count from 1)
*/

/*** The elements at given positions along an axis, by NumPy's name: cnn.gather.
@function cnn.take
@tparam tensor x
@tparam tensor|table|int positions counted from 1, negative from the end
@tparam[opt=1] int axis NumPy's take without an axis looks into the flat array; this one takes the first
@treturn tensor a copy
@usage
cnn.take({10, 20, 30}, {3, 3, 1}):tolist()               --> {30.0, 30.0, 10.0}
*/
static int gather(lua_State *L) {
    cnn_tensor *t = lcnn_to_tensor(L, 1);
    int axis = lcnn_check_axis(L, luaL_optinteger(L, 3, 1), t->rank, "gather");
    return gather_axis(L, "gather", axis, false);
}

/*** The positions of the elements that are not 0. They count from 1 along the flat tensor, as NumPy's flatnonzero
does from 0.
@function cnn.nonzero
@tparam tensor x of any shape
@treturn tensor int32, of one axis
@usage
predicted, labels = cnn.tensor{3, 1, 4, 1}, cnn.tensor{3, 7, 4, 2}
predicted:not_equal(labels):nonzero()    -- which are wrong
--> int32 (2,)
--> [2 4]
*/
static int nonzero(lua_State *L) {
    lcnn_to_tensor(L, 1);
    const cnn_tensor *t = lcnn_check_eager(L, 1, "nonzero");
    int64_t count = 0;
    for (int64_t i = 0; i < t->size; i++) count += cnn_tensor_get(t, i) != 0;
    cnn_tensor *out = NULL;
    lcnn_check(L, cnn_tensor_new(&out, CNN_INT32, 1, &count));
    int32_t *positions = cnn_i32(out);
    for (int64_t i = 0; i < t->size; i++)
        if (cnn_tensor_get(t, i) != 0) *positions++ = (int32_t)(i + 1);
    lcnn_push_tensor(L, out);
    return 1;
}

/* ---- registration -------------------------------------------------------------------------------------- */

static const lcnn_entry shared[] = {
    {"gather", gather, 0}, {"take", gather, 0}, {"nonzero", nonzero, 0}, {"slice", slice, 0}, {NULL, NULL, 0},
};

int lcnn_open_index(lua_State *L) {
    lcnn_add_methods(L, 1, shared);
    luaL_getmetatable(L, LCNN_TENSOR);
    lcnn_push_methods(L);
    lua_pushcclosure(L, tensor_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, tensor_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, tensor_pairs);
    lua_setfield(L, -2, "__pairs");
    return 0;
}
