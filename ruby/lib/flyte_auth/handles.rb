# frozen_string_literal: true

module FlyteAuth
  # The generated half holds a pointer of this process as a number: a copy of it would be used after it was freed.
  module Uncopied
    def marshal_dump = refuse_copy
    def encode_with(_coder) = refuse_copy

    # Not `initialize_copy`: by then Ruby has copied the finalizer, which frees.
    def dup = refuse_copy
    def clone(**) = refuse_copy

    private

    def refuse_copy = raise(TypeError, "#{self.class.name.sub("Native::", "")} can be neither written to a file nor copied")
  end
  private_constant :Uncopied

  [Native::Session, Native::PendingLogin, Native::Token, Native::Verifier, Native::Secret].each do |type|
    type.include(Uncopied)
  end
end
