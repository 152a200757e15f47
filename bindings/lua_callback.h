/* Callbacks on the Lua stack. */
#ifndef LUA_CALLBACK_H
#define LUA_CALLBACK_H

#include "lua_cnn.h"
#include "train/callback.h"

/* Pushes a table that anchors the callbacks of the list at index, or of nothing; fills *list, which lives as long as
 * that table, and returns how many. Tables become callbacks that call their functions on_epoch_end and the like. model
 * is the stack index of what they find in self.model. */
int lcnn_callbacks(lua_State *L, int index, int model, cnn_callback ***list);

#endif
