"""Average precision of masks: of single frames and of whole tracks."""
